//! `docker rename`.

use crate::{Engine, Error};

impl Engine {
    /// Gives a container another name.
    ///
    /// # Errors
    /// When the name is taken or not allowed.
    pub async fn rename(&self, name: &str, wanted: &str) -> Result<(), Error> {
        if wanted.is_empty() {
            return Err(Error::InvalidRequest("Neither old nor new names may be empty".to_owned()));
        }
        let container = self.containers.find(name)?;
        let _verb = container.verb.lock().await;
        let old = container.name();
        if wanted.strip_prefix('/').unwrap_or(wanted) == old {
            return Err(Error::InvalidRequest(
                "Renaming a container with the same name as its current name".to_owned(),
            ));
        }
        let new = self
            .containers
            .reserve_name(wanted, &container.id)
            .map_err(|error| error.during("Error when allocating new name"))?;
        if let Err(error) = container.change(|record| record.name.clone_from(&new)) {
            self.containers.release_name(&new);
            return Err(error);
        }
        self.containers.release_name(&old);
        let mut attributes = container.attributes();
        attributes.insert("oldName".to_owned(), format!("/{old}"));
        self.events.tell("container", "rename", &container.id, attributes);
        Ok(())
    }
}
