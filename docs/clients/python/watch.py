"""Watches alerts, misses none when the connection breaks, and acknowledges on request.

    python -m grpc_tools.protoc -I proto --python_out=. --grpc_python_out=. \
        proto/pulseward/v1/*.proto
    python watch.py 127.0.0.1:50051
    python watch.py ward.example:50051 --ca ca.pem --token-file token --site north

What it shows to do:

- Without a cursor a stream begins with a snapshot that *replaces* what the client holds; after
  a cursor it goes on with what came since. So the cursor is only moved together with what it
  stands for, and both are thrown away together.
- A heartbeat comes every 10 s. Without one for 25 s, or with one that says that no vitals come,
  the screen is NOT LIVE, whatever it still shows.
- A token expires while a stream stands, and the stream ends: the next call carries the one that is
  in the file by then. Only what is refused at the very first is for a person to mend.
- An acknowledgement carries the etag that was seen, so that an escalation that nobody has looked at
  is never acknowledged. If it is refused, look again; never repeat it with a newer etag unseen.
"""

import argparse
import asyncio
import random
import sys
import uuid
from pathlib import Path

import grpc

from pulseward.v1 import alert_pb2 as v1
from pulseward.v1 import alert_pb2_grpc, profile_pb2

NOT_LIVE_AFTER_S = 25
RETRY_MAX_S = 10


class Ward:
    """What the client holds: open alerts, and the cursor up to which it knows everything."""

    def __init__(self):
        self.forget()

    def forget(self):
        self.alerts = {}
        self.cursor = ""

    def replace(self, snapshot):
        if snapshot.part == 0:
            self.alerts = {}
        for alert in snapshot.alerts:
            self.alerts[alert.alert_id] = alert

    def follow(self, event):
        if event.WhichOneof("change") == "alert":
            alert = event.alert.alert
            if alert.closed:
                self.alerts.pop(alert.alert_id, None)
            else:
                self.alerts[alert.alert_id] = alert
        self.cursor = event.cursor

    def leave(self, left):
        gone = [alert.alert_id for alert in self.alerts.values()
                if alert.patient_id == left.patient_id]
        for alert_id in gone:
            del self.alerts[alert_id]
        self.cursor = left.cursor


class Watcher:
    def __init__(self, stub, options, metadata):
        self.stub = stub
        self.options = options
        self.metadata = metadata
        self.ward = Ward()
        self.not_live = "not connected yet"
        self.was_live = False
        self.was_ever_live = False
        self.waiting = set()

    async def run(self):
        """Watches for ever; returns only what was refused before it was live once."""
        pause_s = 0.2
        while True:
            try:
                await self.watch()
                self.lost("the service has ended the stream")
            except asyncio.TimeoutError:
                self.lost(f"nothing heard for {NOT_LIVE_AFTER_S} s")
            except grpc.aio.AioRpcError as error:
                self.lost(f"{error.code().name}: {error.details()}")
                if not self.was_ever_live and error.code() in (
                        grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED,
                        grpc.StatusCode.INVALID_ARGUMENT):
                    return error
                if error.code() in (grpc.StatusCode.OUT_OF_RANGE,
                                    grpc.StatusCode.INVALID_ARGUMENT):
                    # What came after the cursor is no longer kept, or it is of another service,
                    # which may not even know it for a cursor.
                    self.ward.forget()
            if self.was_live:
                self.was_live, pause_s = False, 0.2
            # Clients that were cut off together do not come back together.
            await asyncio.sleep(pause_s * random.uniform(0.5, 1))
            pause_s = min(pause_s * 2, RETRY_MAX_S)

    async def watch(self):
        request = v1.WatchAlertsRequest(
            filter=v1.AlertFilter(site_ids=self.options.site), resume_after=self.ward.cursor)
        call = self.stub.WatchAlerts(request, metadata=self.metadata())
        try:
            while True:
                message = await asyncio.wait_for(call.read(), NOT_LIVE_AFTER_S)
                if message is grpc.aio.EOF:
                    return
                self.take(message)
        finally:
            call.cancel()

    def take(self, message):
        kind = message.WhichOneof("message")
        if kind == "snapshot":
            self.ward.replace(message.snapshot)
            for alert in message.snapshot.alerts:
                self.show("OPEN", alert)
        elif kind == "live":
            self.ward.cursor = message.live.cursor
            self.live()
        elif kind == "heartbeat":
            self.ward.cursor = message.heartbeat.cursor
            if not message.heartbeat.ingest_connected:
                self.lost("the service receives no vitals")
            elif self.not_live == "the service receives no vitals":
                self.live()
        elif kind == "event":
            self.ward.follow(message.event)
            if message.event.WhichOneof("change") == "alert":
                self.changed(message.event.alert)
        elif kind == "left_scope":
            self.ward.leave(message.left_scope)

    def changed(self, event):
        phase = v1.AlertPhase.Name(event.phase).removeprefix("ALERT_PHASE_")
        self.show(phase, event.alert)
        if self.options.acknowledge and event.phase == v1.ALERT_PHASE_START:
            task = asyncio.ensure_future(self.acknowledge(event.alert))
            # Kept, because the loop alone would forget it.
            self.waiting.add(task)
            task.add_done_callback(self.waiting.discard)

    async def acknowledge(self, alert):
        # With a request id it may be sent again after an answer that was lost.
        request = v1.AcknowledgeAlertRequest(
            alert_id=alert.alert_id, etag=alert.etag, note=self.options.acknowledge,
            request_id=str(uuid.uuid4()))
        try:
            await self.stub.AcknowledgeAlert(request, metadata=self.metadata(), timeout=10)
        except grpc.aio.AioRpcError as error:
            self.say(f"REFUSED {alert.rule_id} {alert.patient_id}: {error.details()}")

    def live(self):
        self.was_live = self.was_ever_live = True
        if self.not_live is not None:
            self.not_live = None
            self.say(f"LIVE, {len(self.ward.alerts)} open alerts")

    def lost(self, why):
        if self.not_live is None or self.not_live == "not connected yet":
            self.say(f"NOT LIVE: {why}")
        self.not_live = why

    def show(self, what, alert):
        priority = profile_pb2.Priority.Name(alert.priority).removeprefix("PRIORITY_").lower()
        self.say(f"{what} {priority} {alert.rule_id} {alert.patient_id} {alert.alert_id}")

    def say(self, line):
        print(line, flush=True)


def channel_to(options):
    # By itself gRPC would wait for up to two minutes before it connects again.
    patience = [("grpc.initial_reconnect_backoff_ms", 200), ("grpc.min_reconnect_backoff_ms", 200),
                ("grpc.max_reconnect_backoff_ms", RETRY_MAX_S * 1000)]
    if options.ca is None:
        return grpc.aio.insecure_channel(options.address, patience)
    authorities = grpc.ssl_channel_credentials(options.ca.read_bytes())
    return grpc.aio.secure_channel(options.address, authorities, patience)


def bearer(options):
    """Who calls, anew for each call: tokens live for minutes."""
    def metadata():
        if options.token_file is None:
            return ()
        return (("authorization", "Bearer " + options.token_file.read_text().strip()),)
    return metadata


async def main():
    parser = argparse.ArgumentParser(description="Watches alerts and misses none.")
    parser.add_argument("address", help="host:port of the service")
    parser.add_argument("--ca", type=Path, help="authorities of its certificate; TLS then")
    parser.add_argument("--token-file", type=Path, help="holds the token to show")
    parser.add_argument("--site", action="append", default=[], help="only these sites")
    parser.add_argument("--acknowledge", metavar="NOTE", help="acknowledge what begins, to try it")
    options = parser.parse_args()
    if options.token_file is not None and options.ca is None:
        parser.error("a token is not sent in plain text; give --ca")
    async with channel_to(options) as channel:
        stub = alert_pb2_grpc.AlertServiceStub(channel)
        error = await Watcher(stub, options, bearer(options)).run()
        sys.exit(f"{error.code().name}: {error.details()}")


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
