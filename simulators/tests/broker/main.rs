//! The simulators against a real Mosquitto, heard as the service would hear them.

mod fleet;
mod mosquitto;
mod replay;
mod subscriber;
mod ward;
