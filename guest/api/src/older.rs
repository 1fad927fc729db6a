//! What a request means in an older version of the API (Docker Engine API, "Version history"): fields that it didn't
//! have yet are left out, and what was usual then is made explicit.

use serde_json::{Value, json};

use crate::error::Failure;
use crate::version::ApiVersion;

/// Fields of a creation: the minor version that has them first, the object that they are in, their name.
const FIELDS: [(u16, &str, &str); 4] = [
    // Until then the client removed the container.
    (25, "/HostConfig", "AutoRemove"),
    (42, "/HostConfig", "ConsoleSize"),
    (43, "/HostConfig", "Annotations"),
    (44, "/Healthcheck", "StartInterval"),
];
/// The same of each mount.
const OF_MOUNTS: [(u16, &str, &str); 6] = [
    (40, "/BindOptions", "NonRecursive"),
    (42, "/BindOptions", "CreateMountpoint"),
    (44, "/BindOptions", "ReadOnlyNonRecursive"),
    (44, "/BindOptions", "ReadOnlyForceRecursive"),
    (45, "/VolumeOptions", "Subpath"),
    (46, "/TmpfsOptions", "Options"),
];
/// The first version with nothing of the above to change.
const CREATES_AS_NOW: u16 = 46;
/// `IpcMode` was `shareable` where nothing was said.
const IPC_IS_PRIVATE: u16 = 40;
/// A container could be made in one network.
const HAS_SEVERAL_NETWORKS: u16 = 44;

/// Makes a creation's body what its version means.
pub(crate) fn creation(version: ApiVersion, body: &mut Value) -> Result<(), Failure> {
    if !version.is_before(CREATES_AS_NOW) {
        return Ok(());
    }
    take(version, &FIELDS, body);
    for mount in body.pointer_mut("/HostConfig/Mounts").and_then(Value::as_array_mut).into_iter().flatten() {
        take(version, &OF_MOUNTS, mount);
    }
    if version.is_before(IPC_IS_PRIVATE)
        && let Some(host) = body.get_mut("HostConfig").and_then(Value::as_object_mut)
        && host.get("IpcMode").and_then(Value::as_str).unwrap_or_default().is_empty()
    {
        host.insert("IpcMode".to_owned(), json!("shareable"));
    }
    let networks = body.pointer("/NetworkingConfig/EndpointsConfig").and_then(Value::as_object);
    if version.is_before(HAS_SEVERAL_NETWORKS) && networks.is_some_and(|networks| networks.len() > 1) {
        return Err(Failure::bad_request(
            "Container cannot be created with multiple network endpoints: API version 1.44 or later is needed",
        ));
    }
    Ok(())
}

fn take(version: ApiVersion, fields: &[(u16, &str, &str)], from: &mut Value) {
    for (first, object, name) in fields {
        if version.is_before(*first)
            && let Some(object) = from.pointer_mut(object).and_then(Value::as_object_mut)
        {
            object.remove(*name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn creation_of(version: &str, mut body: Value) -> Value {
        creation(version.parse().unwrap(), &mut body).unwrap();
        body
    }

    #[test]
    fn a_field_counts_from_its_version_on() {
        let asked = json!({ "HostConfig": { "AutoRemove": true, "IpcMode": "private", "Mounts": [
            { "Target": "/t", "VolumeOptions": { "Subpath": "x", "NoCopy": true } },
        ] } });
        let told = creation_of("1.24", asked.clone());
        let meant = json!({ "HostConfig": { "IpcMode": "private", "Mounts": [
            { "Target": "/t", "VolumeOptions": { "NoCopy": true } },
        ] } });
        assert_eq!(told, meant);
        assert_eq!(creation_of("1.45", asked.clone()), asked);
    }

    #[test]
    fn what_was_usual_is_made_explicit() {
        assert_eq!(creation_of("1.39", json!({ "HostConfig": {} }))["HostConfig"]["IpcMode"], "shareable");
        assert_eq!(creation_of("1.40", json!({ "HostConfig": {} })), json!({ "HostConfig": {} }));
        let two = json!({ "NetworkingConfig": { "EndpointsConfig": { "a": {}, "b": {} } } });
        assert!(creation("1.43".parse().unwrap(), &mut two.clone()).is_err());
        assert_eq!(creation_of("1.44", two.clone()), two);
    }
}
