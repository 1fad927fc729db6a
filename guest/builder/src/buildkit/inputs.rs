//! What one build made as a context of another (`target:` in bake's files): the client takes it for a graph of its own, and
//! gives it back as it got it. Ours has one source, which is the result's name.

use std::collections::HashMap;

use berth_images::Digest;
use prost::Message as _;

use super::messages::Empty;
use super::messages::bridge::{Definition, Input, Operation, Source};

/// What a result's name starts with.
const SCHEME: &str = "berth-result://";

/// The graph of a result.
pub(super) fn definition(id: &str) -> Definition {
    let source = Source { identifier: format!("{SCHEME}{id}") };
    let source = Operation { inputs: Vec::new(), source: Some(source) }.encode_to_vec();
    let digest = Digest::of(&source).to_string();
    // The last operation of a graph says which one is its result.
    let input = Input { digest: digest.clone(), index: 0 };
    let result = Operation { inputs: vec![input], source: None }.encode_to_vec();
    let metadata = HashMap::from([(digest, Empty {})]);
    Definition { operations: vec![source, result], metadata }
}

/// The result of which this is the graph; none when it is another's.
pub(super) fn result_of(definition: &Definition) -> Option<String> {
    let operations =
        definition.operations.iter().filter_map(|bytes| Operation::decode(bytes.as_slice()).ok());
    let mut sources = operations.filter_map(|operation| operation.source);
    sources.find_map(|source| Some(source.identifier.strip_prefix(SCHEME)?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graph_leads_back_to_its_result() {
        assert_eq!(result_of(&definition("abc")).as_deref(), Some("abc"));
        let other =
            Operation { inputs: Vec::new(), source: Some(Source { identifier: "local://x".to_owned() }) };
        let operations = vec![b"\xff".to_vec(), other.encode_to_vec()];
        assert_eq!(result_of(&Definition { operations, ..Definition::default() }), None);
    }
}
