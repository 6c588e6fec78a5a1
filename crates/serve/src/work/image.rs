//! An image on its way to an answer.

use std::{sync::Arc, time::Instant};

use axum::body::Bytes;
use resnet::{
    cam::ActivationMap,
    data::photo::{PhotoError, Region},
};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::{
    details::Times,
    served::{Kind, Prepared, Served},
};

/// A photo as it came.
pub(crate) struct Photo {
    pub(crate) file: Bytes,
    pub(crate) heat_map: bool,
}

/// An image to be computed.
pub(crate) enum Image {
    Photo(Photo),
    Prepared(Prepared),
}

impl Image {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Image::Photo(photo) if photo.heat_map => Kind::HeatMaps,
            Image::Photo(_) | Image::Prepared(Prepared::Pixels(_)) => Kind::Photos,
            Image::Prepared(Prepared::Values(_)) => Kind::Tensors,
        }
    }
}

/// What was computed for an image.
#[derive(Debug)]
pub(crate) struct Answer {
    /// `[classes]`
    pub(crate) logits: Vec<f32>,
    /// The heat map of the predicted class.
    pub(crate) map: Option<ActivationMap>,
    /// The part of the photo that the network saw.
    pub(crate) region: Option<Region>,
}

/// Why an image has no answer.
#[derive(Debug)]
pub(crate) enum Failed {
    /// It is no photo, or a damaged or too large one.
    Photo(PhotoError),
    /// The network's output is NaN or infinite.
    NotFinite,
    /// The GPU of its model was lost.
    Lost,
    /// The service failed at it.
    Internal,
}

/// How an image ends.
pub(crate) type Outcome = (Result<Answer, Failed>, Times);

/// What an image carries with it: to whom the answer goes, and its place in the queue.
pub(super) struct Ticket {
    pub(super) model: Arc<Served>,
    pub(super) kind: Kind,
    answer: oneshot::Sender<Outcome>,
    place: OwnedSemaphorePermit,
    pub(super) times: Times,
    /// Since when it waits.
    pub(super) since: Instant,
}

/// An image that is prepared for its network.
pub(super) struct Ready {
    pub(super) ticket: Ticket,
    pub(super) prepared: Prepared,
    pub(super) region: Option<Region>,
}

impl Ticket {
    pub(super) fn new(
        model: Arc<Served>,
        kind: Kind,
        place: OwnedSemaphorePermit,
    ) -> (Ticket, oneshot::Receiver<Outcome>) {
        let (answer, receiver) = oneshot::channel();
        let (times, since) = (Times::default(), Instant::now());
        (Ticket { model, kind, answer, place, times, since }, receiver)
    }

    /// Whether nobody waits for the answer any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.answer.is_closed()
    }

    /// Ends waiting: adds the time to the queue's.
    pub(super) fn begin(&mut self, now: Instant) {
        self.times.queue += now.saturating_duration_since(self.since);
    }

    pub(super) fn finish(self, result: Result<Answer, Failed>) {
        let Ticket { answer, place, times, .. } = self;
        // There is room before the client knows of it.
        drop(place);
        // The client may be gone.
        let _ = answer.send((result, times));
    }
}
