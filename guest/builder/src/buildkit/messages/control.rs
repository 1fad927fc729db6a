//! `moby.buildkit.v1`: what `Control` says and hears.

use std::collections::HashMap;

use super::{Failed, Platform, Timestamp};

#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct SolveRequest {
    #[prost(string, tag = "1")]
    pub(in super::super) reference: String,
    #[prost(string, tag = "3")]
    pub(in super::super) exporter: String,
    #[prost(map = "string, string", tag = "4")]
    pub(in super::super) exporter_attrs: HashMap<String, String>,
    #[prost(string, tag = "5")]
    pub(in super::super) session: String,
    #[prost(string, tag = "6")]
    pub(in super::super) frontend: String,
    #[prost(map = "string, string", tag = "7")]
    pub(in super::super) frontend_attrs: HashMap<String, String>,
    #[prost(message, optional, tag = "8")]
    pub(in super::super) cache: Option<CacheOptions>,
    #[prost(string, repeated, tag = "9")]
    pub(in super::super) entitlements: Vec<String>,
    #[prost(bool, tag = "11")]
    pub(in super::super) internal: bool,
    #[prost(message, repeated, tag = "13")]
    pub(in super::super) exporters: Vec<Exporter>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct Exporter {
    #[prost(string, tag = "1")]
    pub(in super::super) kind: String,
    #[prost(map = "string, string", tag = "2")]
    pub(in super::super) attrs: HashMap<String, String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct CacheOptions {
    #[prost(message, repeated, tag = "4")]
    pub(in super::super) exports: Vec<Exporter>,
    #[prost(message, repeated, tag = "5")]
    pub(in super::super) imports: Vec<Exporter>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct SolveResponse {
    #[prost(map = "string, string", tag = "1")]
    pub(in super::super) exporter_response: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in super::super) struct StatusRequest {
    #[prost(string, tag = "1")]
    pub(in super::super) reference: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct StatusResponse {
    #[prost(message, repeated, tag = "1")]
    pub(in super::super) vertexes: Vec<Vertex>,
    #[prost(message, repeated, tag = "2")]
    pub(in super::super) statuses: Vec<VertexStatus>,
    #[prost(message, repeated, tag = "3")]
    pub(in super::super) logs: Vec<VertexLog>,
    #[prost(message, repeated, tag = "4")]
    pub(in super::super) warnings: Vec<VertexWarning>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in super::super) struct Vertex {
    #[prost(string, tag = "1")]
    pub(in super::super) digest: String,
    #[prost(string, repeated, tag = "2")]
    pub(in super::super) inputs: Vec<String>,
    #[prost(string, tag = "3")]
    pub(in super::super) name: String,
    #[prost(bool, tag = "4")]
    pub(in super::super) cached: bool,
    #[prost(message, optional, tag = "5")]
    pub(in super::super) started: Option<Timestamp>,
    #[prost(message, optional, tag = "6")]
    pub(in super::super) completed: Option<Timestamp>,
    #[prost(string, tag = "7")]
    pub(in super::super) error: String,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in super::super) struct VertexStatus {
    #[prost(string, tag = "1")]
    pub(in super::super) id: String,
    #[prost(string, tag = "2")]
    pub(in super::super) vertex: String,
    #[prost(string, tag = "3")]
    pub(in super::super) name: String,
    #[prost(int64, tag = "4")]
    pub(in super::super) current: i64,
    #[prost(int64, tag = "5")]
    pub(in super::super) total: i64,
    #[prost(message, optional, tag = "6")]
    pub(in super::super) timestamp: Option<Timestamp>,
    #[prost(message, optional, tag = "7")]
    pub(in super::super) started: Option<Timestamp>,
    #[prost(message, optional, tag = "8")]
    pub(in super::super) completed: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in super::super) struct VertexLog {
    #[prost(string, tag = "1")]
    pub(in super::super) vertex: String,
    #[prost(message, optional, tag = "2")]
    pub(in super::super) timestamp: Option<Timestamp>,
    #[prost(int64, tag = "3")]
    pub(in super::super) stream: i64,
    #[prost(bytes = "vec", tag = "4")]
    pub(in super::super) message: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct VertexWarning {
    #[prost(string, tag = "1")]
    pub(in super::super) vertex: String,
    #[prost(int64, tag = "2")]
    pub(in super::super) level: i64,
    #[prost(bytes = "vec", tag = "3")]
    pub(in super::super) short: Vec<u8>,
    #[prost(bytes = "vec", repeated, tag = "4")]
    pub(in super::super) detail: Vec<Vec<u8>>,
    #[prost(string, tag = "5")]
    pub(in super::super) url: String,
    #[prost(message, optional, tag = "6")]
    pub(in super::super) info: Option<SourceInfo>,
    #[prost(message, repeated, tag = "7")]
    pub(in super::super) ranges: Vec<Range>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in super::super) struct SourceInfo {
    #[prost(string, tag = "1")]
    pub(in super::super) filename: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(in super::super) data: Vec<u8>,
    #[prost(string, tag = "4")]
    pub(in super::super) language: String,
}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(in super::super) struct Range {
    #[prost(message, optional, tag = "1")]
    pub(in super::super) start: Option<Position>,
    #[prost(message, optional, tag = "2")]
    pub(in super::super) end: Option<Position>,
}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(in super::super) struct Position {
    #[prost(int32, tag = "1")]
    pub(in super::super) line: i32,
    #[prost(int32, tag = "2")]
    pub(in super::super) character: i32,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in super::super) struct PruneRequest {
    #[prost(string, repeated, tag = "1")]
    pub(in super::super) filter: Vec<String>,
    #[prost(bool, tag = "2")]
    pub(in super::super) all: bool,
    #[prost(int64, tag = "3")]
    pub(in super::super) keep_duration: i64,
    #[prost(int64, tag = "4")]
    pub(in super::super) reserved_space: i64,
    #[prost(int64, tag = "5")]
    pub(in super::super) max_used_space: i64,
    #[prost(int64, tag = "6")]
    pub(in super::super) min_free_space: i64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in super::super) struct DiskUsageRequest {
    #[prost(string, repeated, tag = "1")]
    pub(in super::super) filter: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct DiskUsageResponse {
    #[prost(message, repeated, tag = "1")]
    pub(in super::super) record: Vec<UsageRecord>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in super::super) struct UsageRecord {
    #[prost(string, tag = "1")]
    pub(in super::super) id: String,
    #[prost(bool, tag = "2")]
    pub(in super::super) mutable: bool,
    #[prost(bool, tag = "3")]
    pub(in super::super) in_use: bool,
    #[prost(int64, tag = "4")]
    pub(in super::super) size: i64,
    #[prost(message, optional, tag = "6")]
    pub(in super::super) created_at: Option<Timestamp>,
    #[prost(message, optional, tag = "7")]
    pub(in super::super) last_used_at: Option<Timestamp>,
    #[prost(int64, tag = "8")]
    pub(in super::super) usage_count: i64,
    #[prost(string, tag = "9")]
    pub(in super::super) description: String,
    #[prost(string, tag = "10")]
    pub(in super::super) record_type: String,
    #[prost(bool, tag = "11")]
    pub(in super::super) shared: bool,
    #[prost(string, repeated, tag = "12")]
    pub(in super::super) parents: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct ListWorkersResponse {
    #[prost(message, repeated, tag = "1")]
    pub(in super::super) record: Vec<WorkerRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct WorkerRecord {
    #[prost(string, tag = "1")]
    pub(in super::super) id: String,
    #[prost(map = "string, string", tag = "2")]
    pub(in super::super) labels: HashMap<String, String>,
    #[prost(message, repeated, tag = "3")]
    pub(in super::super) platforms: Vec<Platform>,
    #[prost(message, optional, tag = "5")]
    pub(in super::super) version: Option<Version>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in super::super) struct Version {
    #[prost(string, tag = "1")]
    pub(in super::super) package: String,
    #[prost(string, tag = "2")]
    pub(in super::super) version: String,
    #[prost(string, tag = "3")]
    pub(in super::super) revision: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct InfoResponse {
    #[prost(message, optional, tag = "1")]
    pub(in super::super) version: Option<Version>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in super::super) struct HistoryRequest {
    #[prost(bool, tag = "1")]
    pub(in super::super) active_only: bool,
    #[prost(string, tag = "2")]
    pub(in super::super) reference: String,
    #[prost(bool, tag = "3")]
    pub(in super::super) early_exit: bool,
    #[prost(string, repeated, tag = "4")]
    pub(in super::super) filter: Vec<String>,
    #[prost(int32, tag = "5")]
    pub(in super::super) limit: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct HistoryEvent {
    /// 0 started, 1 complete, 2 deleted.
    #[prost(int32, tag = "1")]
    pub(in super::super) kind: i32,
    #[prost(message, optional, tag = "2")]
    pub(in super::super) record: Option<HistoryRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct HistoryRecord {
    #[prost(string, tag = "1")]
    pub(in super::super) reference: String,
    #[prost(string, tag = "2")]
    pub(in super::super) frontend: String,
    #[prost(map = "string, string", tag = "3")]
    pub(in super::super) frontend_attrs: HashMap<String, String>,
    #[prost(message, repeated, tag = "4")]
    pub(in super::super) exporters: Vec<Exporter>,
    #[prost(message, optional, tag = "5")]
    pub(in super::super) error: Option<Failed>,
    #[prost(message, optional, tag = "6")]
    pub(in super::super) created_at: Option<Timestamp>,
    #[prost(message, optional, tag = "7")]
    pub(in super::super) completed_at: Option<Timestamp>,
    #[prost(map = "string, string", tag = "9")]
    pub(in super::super) exporter_response: HashMap<String, String>,
    /// How often it was changed.
    #[prost(int32, tag = "12")]
    pub(in super::super) generation: i32,
    #[prost(bool, tag = "14")]
    pub(in super::super) pinned: bool,
    #[prost(int32, tag = "15")]
    pub(in super::super) cached_steps: i32,
    #[prost(int32, tag = "16")]
    pub(in super::super) total_steps: i32,
    #[prost(int32, tag = "17")]
    pub(in super::super) completed_steps: i32,
    #[prost(int32, tag = "19")]
    pub(in super::super) warnings: i32,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in super::super) struct UpdateHistoryRequest {
    #[prost(string, tag = "1")]
    pub(in super::super) reference: String,
    #[prost(bool, tag = "2")]
    pub(in super::super) pinned: bool,
    #[prost(bool, tag = "3")]
    pub(in super::super) delete: bool,
    #[prost(bool, tag = "4")]
    pub(in super::super) finalize: bool,
}
