//! Every call with every field of its request wrong in every way that its type allows: each is
//! answered with a code that tells, and what is wrong is named by its path.
//!
//! The requests are made from the contract's own descriptors, so that a new call or field is walked
//! as soon as it is there.

use std::collections::BTreeMap;

use prost::Message;
use prost::bytes::{Buf, BufMut};
use prost::encoding::{WireType, encode_key, encode_varint};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use super::contract::methods;
use super::fakes::open;
use crate::proto;

/// A rule's limits' levels stand that deep in a profile.
const DEPTH_MAX: usize = 6;
/// The least number of 32 bits, as it is written.
const LEAST: u64 = 0xffff_ffff_8000_0000;
/// More bytes than any text of the contract may have.
const TEXT_BYTES: usize = 10_000;

/// The messages of the contract, by their full names.
struct Contract(BTreeMap<String, DescriptorProto>);

impl Contract {
    fn new() -> Self {
        let descriptors = FileDescriptorSet::decode(proto::DESCRIPTORS).expect("descriptors");
        let mut messages = BTreeMap::new();
        for file in descriptors.file {
            let package = format!(".{}", file.package());
            file.message_type.into_iter().for_each(|it| add(&mut messages, &package, it));
        }
        Self(messages)
    }

    /// Everything that can be wrong with one field of a message, the others left out.
    fn wrong(&self, message: &str, depth: usize) -> Vec<Wrong> {
        let Some(descriptor) = self.0.get(message) else { return Vec::new() };
        let fields = descriptor.field.iter();
        fields.flat_map(|field| self.wrong_field(field, depth)).collect()
    }

    fn wrong_field(&self, field: &FieldDescriptorProto, depth: usize) -> Vec<Wrong> {
        let number = u32::try_from(field.number()).expect("positive");
        let path = field.name().to_owned();
        let scalar = |wire, contents: Vec<(Vec<u8>, bool)>| -> Vec<Wrong> {
            let of = |(content, is_refused)| Wrong::new(&path, number, wire, content, is_refused);
            contents.into_iter().map(of).collect()
        };
        let varints = |values: &[(u64, bool)]| {
            let bytes = |(value, is_refused): &(u64, bool)| (varint(*value), *is_refused);
            scalar(WireType::Varint, values.iter().map(bytes).collect())
        };
        let is_size = path == "page_size";
        match field.r#type() {
            Type::String => scalar(WireType::LengthDelimited, texts(&path)),
            Type::Enum => varints(&[(9_999, true), (u64::MAX, true)]),
            Type::Int32 | Type::Int64 => varints(&[(u64::MAX, is_size), (LEAST, is_size)]),
            Type::Uint32 | Type::Uint64 | Type::Sint64 => varints(&[(u64::MAX, false)]),
            Type::Double => {
                let bytes = |value: f64| (value.to_le_bytes().to_vec(), false);
                scalar(WireType::SixtyFourBit, [f64::NAN, f64::INFINITY, -1e300].map(bytes).into())
            }
            Type::Bytes => scalar(WireType::LengthDelimited, vec![(vec![0xff; 100], false)]),
            Type::Message if depth < DEPTH_MAX => self.wrong_message(field, number, depth),
            _ => Vec::new(),
        }
    }

    fn wrong_message(&self, field: &FieldDescriptorProto, number: u32, depth: usize) -> Vec<Wrong> {
        let wire = WireType::LengthDelimited;
        let parts =
            |seconds: i64, nanos: i32| prost_types::Timestamp { seconds, nanos }.encode_to_vec();
        let is_at_once = depth == 0;
        let wrong: Vec<_> = match field.type_name() {
            ".google.protobuf.Timestamp" | ".google.protobuf.Duration" => {
                let times = [parts(i64::MAX, 0), parts(i64::MIN, 0), parts(0, -1)];
                let of = |it| Wrong::new(field.name(), number, wire, it, is_at_once);
                return times.into_iter().map(of).collect();
            }
            name => self.wrong(name, depth + 1),
        };
        let place = if field.label() == Label::Repeated { "[0]" } else { "" };
        let within = |inner: Wrong| Wrong {
            path: format!("{}{place}.{}", field.name(), inner.path),
            // Whether a rule is looked at whose other parts are missing is its own affair.
            is_refused: false,
            ..Wrong::new("", number, wire, inner.bytes, false)
        };
        wrong.into_iter().map(within).collect()
    }
}

fn add(messages: &mut BTreeMap<String, DescriptorProto>, package: &str, message: DescriptorProto) {
    let name = format!("{package}.{}", message.name());
    message.nested_type.clone().into_iter().for_each(|nested| add(messages, &name, nested));
    messages.insert(name, message);
}

/// Texts, and whether each must be refused: but for tokens and filters, of which any text may be
/// one, no text of ten thousand bytes or with a NUL is anything.
fn texts(field: &str) -> Vec<(Vec<u8>, bool)> {
    let is_refused = !matches!(field, "page_token" | "resume_after" | "unit" | "subject");
    let long = vec![b'x'; TEXT_BYTES];
    vec![(long, is_refused), (b"nul\0".to_vec(), is_refused), ("\u{202e}é".into(), false)]
}

fn varint(value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_varint(value, &mut bytes);
    bytes
}

/// A request with one wrong field.
#[derive(Clone, Debug)]
struct Wrong {
    path: String,
    bytes: Vec<u8>,
    /// Whether that field must be named.
    is_refused: bool,
}

impl Wrong {
    fn new(path: &str, number: u32, wire: WireType, content: Vec<u8>, is_refused: bool) -> Self {
        let mut bytes = Vec::new();
        encode_key(number, wire, &mut bytes);
        if wire == WireType::LengthDelimited {
            encode_varint(content.len() as u64, &mut bytes);
        }
        bytes.extend(content);
        Self { path: path.to_owned(), bytes, is_refused }
    }
}

/// Sends bytes as they are, and reads nothing of an answer.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        from.advance(from.remaining());
        Ok(Some(()))
    }
}

async fn send(channel: &Channel, name: &str, streaming: bool, bytes: Vec<u8>) -> Option<Status> {
    let mut client = Grpc::new(channel.clone());
    client.ready().await.expect("connected");
    let path: PathAndQuery = format!("/pulseward.v1.{name}").parse().expect("a path");
    let request = Request::new(bytes);
    if streaming {
        client.server_streaming(request, path, Raw).await.err()
    } else {
        client.unary(request, path, Raw).await.err()
    }
}

/// The paths that are named, each checked to be one.
fn named(name: &str, status: &Status) -> Vec<String> {
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("{name}: {status}"));
    assert_eq!((info.domain.as_str(), info.reason.as_str()), ("pulseward", "INVALID_FIELDS"));
    let violations = details.bad_request().unwrap_or_else(|| panic!("{name}: {status}"));
    let fields = violations.field_violations.iter();
    let fields: Vec<_> = fields.map(|violation| violation.field.clone()).collect();
    assert!(!fields.is_empty() && fields.iter().all(|field| !field.is_empty()), "{name}: {status}");
    fields
}

#[tokio::test]
async fn whatever_is_wrong_with_a_request_is_told_and_named() {
    let contract = Contract::new();
    let door = open().await;
    let (mut sent, mut unnamed) = (0, Vec::new());
    for (name, method) in methods() {
        let mut requests = contract.wrong(method.input_type(), 0);
        requests.push(Wrong { path: String::new(), bytes: Vec::new(), is_refused: false });
        for Wrong { path, bytes, is_refused } in requests {
            sent += 1;
            let status = send(&door.channel, &name, method.server_streaming(), bytes).await;
            let code = status.as_ref().map(Status::code);
            match (&status, code) {
                (Some(status), Some(Code::InvalidArgument)) => {
                    let fields = named(&name, status);
                    let is_named = fields.iter().any(|field| field.starts_with(&path));
                    if is_refused && !is_named {
                        unnamed.push(format!("{name} {path}: {fields:?}"));
                    }
                }
                (_, Some(Code::Internal | Code::Unknown | Code::Cancelled | Code::DataLoss)) => {
                    panic!("{name} {path}: {status:?}");
                }
                (_, Some(Code::Unimplemented)) => {}
                _ if is_refused => unnamed.push(format!("{name} {path}: {status:?}")),
                _ => {}
            }
        }
    }
    assert!(sent > 500, "{sent}");
    assert!(unnamed.is_empty(), "{unnamed:#?}");
    door.close().await;
}
