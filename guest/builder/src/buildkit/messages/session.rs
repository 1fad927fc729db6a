//! What a session's services say and hear: credentials, secrets, agents.

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in super::super) struct CredentialsRequest {
    #[prost(string, tag = "1")]
    pub(in super::super) host: String,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in super::super) struct CredentialsResponse {
    #[prost(string, tag = "1")]
    pub(in super::super) username: String,
    #[prost(string, tag = "2")]
    pub(in super::super) secret: String,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in super::super) struct SecretRequest {
    #[prost(string, tag = "1")]
    pub(in super::super) id: String,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in super::super) struct SecretResponse {
    #[prost(bytes = "vec", tag = "1")]
    pub(in super::super) data: Vec<u8>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in super::super) struct AgentRequest {
    #[prost(string, tag = "1")]
    pub(in super::super) id: String,
}
