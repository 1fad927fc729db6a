//! `containerd.services.content.v1`: content at the client.

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in super::super) struct ReadRequest {
    #[prost(string, tag = "1")]
    pub(in super::super) digest: String,
    #[prost(int64, tag = "2")]
    pub(in super::super) offset: i64,
    /// 0 is all of it.
    #[prost(int64, tag = "3")]
    pub(in super::super) size: i64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in super::super) struct ReadResponse {
    #[prost(bytes = "vec", tag = "2")]
    pub(in super::super) data: Vec<u8>,
}

/// `WriteAction`: more comes, or this is all.
pub(in super::super) const WRITE: i32 = 1;
pub(in super::super) const WRITE_AND_COMMIT: i32 = 2;

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in super::super) struct WriteRequest {
    #[prost(int32, tag = "1")]
    pub(in super::super) action: i32,
    #[prost(string, tag = "2")]
    pub(in super::super) reference: String,
    #[prost(int64, tag = "3")]
    pub(in super::super) total: i64,
    #[prost(string, tag = "4")]
    pub(in super::super) expected: String,
    #[prost(int64, tag = "5")]
    pub(in super::super) offset: i64,
    #[prost(bytes = "vec", tag = "6")]
    pub(in super::super) data: Vec<u8>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in super::super) struct WriteResponse {
    #[prost(int32, tag = "1")]
    pub(in super::super) action: i32,
}
