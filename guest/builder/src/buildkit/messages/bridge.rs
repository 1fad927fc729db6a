//! `moby.buildkit.v1.frontend`: what the gateway (`LLBBridge`) says and hears.

use std::collections::HashMap;

use super::control::WorkerRecord;
use super::{Empty, Failed};

#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct SolveRequest {
    /// A graph by the client's own frontend: refused when it isn't empty.
    #[prost(message, optional, tag = "1")]
    pub(in super::super) definition: Option<Definition>,
    #[prost(string, tag = "2")]
    pub(in super::super) frontend: String,
    #[prost(map = "string, string", tag = "3")]
    pub(in super::super) options: HashMap<String, String>,
    #[prost(map = "string, message", tag = "13")]
    pub(in super::super) inputs: HashMap<String, Definition>,
}

/// `pb.Definition`: a graph, whose operations are [`Operation`]s.
#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct Definition {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub(in super::super) operations: Vec<Vec<u8>>,
    /// By the digests of operations; of what it says nothing is read.
    #[prost(map = "string, message", tag = "2")]
    pub(in super::super) metadata: HashMap<String, Empty>,
}

/// `pb.Op`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in super::super) struct Operation {
    #[prost(message, repeated, tag = "1")]
    pub(in super::super) inputs: Vec<Input>,
    #[prost(message, optional, tag = "3")]
    pub(in super::super) source: Option<Source>,
}

/// `pb.Input`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in super::super) struct Input {
    #[prost(string, tag = "1")]
    pub(in super::super) digest: String,
    #[prost(int64, tag = "2")]
    pub(in super::super) index: i64,
}

/// `pb.SourceOp`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in super::super) struct Source {
    #[prost(string, tag = "1")]
    pub(in super::super) identifier: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct SolveResponse {
    #[prost(message, optional, tag = "3")]
    pub(in super::super) result: Option<Outcome>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct Outcome {
    #[prost(oneof = "References", tags = "3, 4")]
    pub(in super::super) references: Option<References>,
    #[prost(map = "string, bytes", tag = "10")]
    pub(in super::super) metadata: HashMap<String, Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(in super::super) enum References {
    #[prost(message, tag = "3")]
    One(Reference),
    #[prost(message, tag = "4")]
    Several(ReferenceMap),
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct Reference {
    #[prost(string, tag = "1")]
    pub(in super::super) id: String,
    #[prost(message, optional, tag = "2")]
    pub(in super::super) definition: Option<Definition>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct ReferenceMap {
    #[prost(map = "string, message", tag = "1")]
    pub(in super::super) references: HashMap<String, Reference>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct ReturnRequest {
    #[prost(message, optional, tag = "1")]
    pub(in super::super) result: Option<Outcome>,
    #[prost(message, optional, tag = "2")]
    pub(in super::super) error: Option<Failed>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct Pong {
    #[prost(message, repeated, tag = "1")]
    pub(in super::super) frontend_caps: Vec<Capability>,
    #[prost(message, repeated, tag = "2")]
    pub(in super::super) llb_caps: Vec<Capability>,
    #[prost(message, repeated, tag = "3")]
    pub(in super::super) workers: Vec<WorkerRecord>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in super::super) struct Capability {
    #[prost(string, tag = "1")]
    pub(in super::super) id: String,
    #[prost(bool, tag = "2")]
    pub(in super::super) enabled: bool,
}
