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
        let new = self.containers.reserve_name(wanted, &container.id)?;
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
