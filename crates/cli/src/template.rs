//! `--format`: Docker's templates as far as listings need them: fields, literal text, `table …` and `json`.

use std::collections::BTreeMap;

use crate::failure::Failure;
use crate::table::Table;

/// One field of a listed thing: the template's name, the heading of its column, its value.
pub(crate) type Field = (&'static str, &'static str, String);

/// Lists `rows` as `format` says; `fallback` is the listing without one, in the same language.
pub(crate) fn list(
    format: &str,
    fallback: &str,
    rows: &[Vec<Field>],
    empty: &[Field],
) -> Result<String, Failure> {
    let format = if format.is_empty() || format == "table" { fallback } else { format };
    if format == "json" || format.replace(' ', "") == "{{json.}}" {
        return rows.iter().map(|row| json(row)).collect();
    }
    let format = format.replace("\\t", "\t").replace("\\n", "\n");
    let Some(columns) = format.strip_prefix("table ") else {
        return rows.iter().map(|row| Ok(filled(&format, row)? + "\n")).collect();
    };
    let headings: Vec<Field> =
        empty.iter().map(|(name, heading, _)| (*name, "", (*heading).to_owned())).collect();
    let cells = |row: &[Field]| -> Result<Vec<String>, Failure> {
        Ok(filled(columns, row)?.split('\t').map(str::to_owned).collect())
    };
    let heading = cells(&headings)?;
    let mut table = Table::new(&heading.iter().map(String::as_str).collect::<Vec<_>>());
    for row in rows {
        table.row(cells(row)?);
    }
    Ok(table.to_string())
}

fn json(row: &[Field]) -> Result<String, Failure> {
    let object: BTreeMap<_, _> = row.iter().map(|(name, _, value)| (*name, value)).collect();
    serde_json::to_string(&object).map(|text| text + "\n").map_err(Failure::from_error)
}

/// The template with its fields filled in.
fn filled(template: &str, row: &[Field]) -> Result<String, Failure> {
    let mut text = String::new();
    let mut rest = template;
    while let Some((literal, after)) = rest.split_once("{{") {
        text.push_str(literal);
        let unclosed =
            || Failure::new(format!("template parsing error: template: :1: unclosed action: {template}"));
        let (action, after) = after.split_once("}}").ok_or_else(unclosed)?;
        let action = action.trim();
        let name = action.strip_prefix('.').unwrap_or_default();
        let field = row.iter().find(|(field, _, _)| *field == name);
        let (_, _, value) = field.ok_or_else(|| {
            Failure::new(format!(
                "template parsing error: {{{{{action}}}}} isn't supported: name a field, as {{{{.ID}}}}"
            ))
        })?;
        text.push_str(value);
        rest = after;
    }
    Ok(text + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str) -> Vec<Field> {
        vec![("ID", "IMAGE ID", id.to_owned()), ("Tag", "TAG", "latest".to_owned())]
    }

    #[test]
    fn fields_are_filled_in_and_unknown_ones_are_refused() {
        assert_eq!(list("{{.ID}}: {{ .Tag }}", "", &[row("a")], &row("")).unwrap(), "a: latest\n");
        assert!(list("{{.Nope}}", "", &[row("a")], &row("")).is_err());
        assert_eq!(list("json", "", &[row("a")], &row("")).unwrap(), "{\"ID\":\"a\",\"Tag\":\"latest\"}\n");
    }

    #[test]
    fn a_table_has_a_heading_even_when_it_is_empty() {
        assert_eq!(list("", "table {{.ID}}\\t{{.Tag}}", &[], &row("")).unwrap(), "IMAGE ID   TAG\n");
    }
}
