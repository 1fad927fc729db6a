//! `InvalidDefinitionDescription`: a comment above a stage or an argument that doesn't begin with its name.

use super::Findings;
use crate::dockerfile::instruction::{self, Instruction};
use crate::dockerfile::lines::Node;

pub(super) fn rule(findings: &mut Findings, node: &Node, escape: char) {
    let Some(comment) = &node.comment else { return };
    let names: Vec<String> = match instruction::parse(node, escape).map(|step| step.instruction) {
        Ok(Instruction::Arg(arguments)) => arguments.into_iter().map(|(name, _)| name).collect(),
        Ok(Instruction::From { name, .. }) => name.into_iter().collect(),
        _ => return,
    };
    let described = comment.split(' ').next().unwrap_or_default();
    if names.is_empty() || names.iter().any(|name| name == described) {
        return;
    }
    let keyword = node.keyword.to_ascii_uppercase();
    let name = if let [name] = names.as_slice() { name } else { "<arg_key>" };
    let message = format!("Comment for {keyword} should follow the format: `# {name} <description>`");
    let about = "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. If this is not intended to be a description comment, add an empty line or comment between the instruction and the comment.";
    findings.add("InvalidDefinitionDescription", about, node.place, message);
}
