//! Images: how the page sees them.

use bollard::Docker;
use bollard::models::ImageSummary;
use bollard::query_parameters::ListImagesOptions;
use serde::Serialize;
use ts_rs::TS;

use crate::failure::Failure;

/// One image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub(crate) struct Image {
    /// Its id, in full.
    pub(crate) id: String,
    /// Its names; none when it lost the last one.
    pub(crate) names: Vec<String>,
    /// When it was made, in seconds since 1970.
    pub(crate) created: i64,
    /// Its size in bytes.
    pub(crate) size: i64,
    /// How many containers are made from it, when the engine knows.
    pub(crate) containers: Option<i64>,
}

/// All images, by name.
pub(crate) async fn list(docker: &Docker) -> Result<Vec<Image>, Failure> {
    let mut images: Vec<_> =
        docker.list_images(None::<ListImagesOptions>).await?.into_iter().map(Image::from).collect();
    images.sort_by_key(|image| (image.names.is_empty(), image.names.clone(), image.id.clone()));
    Ok(images)
}

impl From<ImageSummary> for Image {
    fn from(summary: ImageSummary) -> Self {
        let named = |name: &String| !name.starts_with("<none>");
        Self {
            id: summary.id,
            names: summary.repo_tags.into_iter().filter(named).collect(),
            created: summary.created,
            size: summary.size,
            // Docker sends -1 for "not counted".
            containers: Some(summary.containers).filter(|count| *count >= 0),
        }
    }
}
