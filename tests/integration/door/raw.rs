//! Any call by its name, with messages as they are on the wire: what a stranger may learn is in the
//! bytes, not in what a client makes of them.

use bytes::{Buf, BufMut};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Status};

use pulseward::engine::audit::Method;

/// Takes messages as they are.
#[derive(Default)]
struct Plain;

impl Codec for Plain {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Plain {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut message = vec![0; buffer.remaining()];
        buffer.copy_to_slice(&mut message);
        Ok(Some(message))
    }
}

/// Makes a call; gives its answer, or the first message of its stream.
pub(super) async fn call(
    channel: &Channel,
    method: Method,
    message: Vec<u8>,
    token: Option<&str>,
) -> Result<Vec<u8>, Status> {
    let mut client = Grpc::new(channel.clone());
    client.ready().await.expect("connected");
    let path: PathAndQuery = format!("/{}", method.name()).parse().expect("a path");
    let mut request = Request::new(message);
    if let Some(token) = token {
        let value: AsciiMetadataValue = format!("Bearer {token}").parse().expect("a value");
        request.metadata_mut().insert("authorization", value);
    }
    if matches!(method, Method::WatchAlerts | Method::WatchVitals) {
        let mut stream = client.server_streaming(request, path, Plain).await?.into_inner();
        return Ok(stream.message().await?.unwrap_or_default());
    }
    client.unary(request, path, Plain).await.map(tonic::Response::into_inner)
}
