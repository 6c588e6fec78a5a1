//! This machine's copy of what a GPU holds.

use std::cell::{OnceCell, RefCell};

use resnet_gpu::GpuEngine;
use resnet_network::Network;

use crate::{EngineError, optim::OptimizerBuffers};

/// What training changes. The optimiser's steps are counted here; all else is the GPU's.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) network: Network,
    pub(super) buffers: OptimizerBuffers,
    pub(super) average: Option<Network>,
}

/// A copy of what a GPU holds, which is brought when it is asked for. It is in one of two places.
#[derive(Debug)]
pub(super) struct Mirror {
    current: OnceCell<Box<Held>>,
    /// The copy while the GPU has newer values.
    outdated: RefCell<Option<Box<Held>>>,
}

impl Mirror {
    /// The copy of what a GPU was given.
    pub(super) fn new(held: Held) -> Self {
        Mirror { current: OnceCell::from(Box::new(held)), outdated: RefCell::default() }
    }

    /// The present values.
    pub(super) fn get(&self, engine: &GpuEngine) -> Result<&Held, EngineError> {
        if let Some(mut held) = self.outdated.take() {
            let Held { network, buffers, average } = &mut *held;
            let brought = engine.download(network, &mut buffers.values, average.as_mut());
            if let Err(error) = brought {
                self.outdated.replace(Some(held));
                return Err(error.into());
            }
            self.current.set(held).expect("the copy was in one place");
        }
        Ok(self.current.get().expect("the copy is in one place"))
    }

    /// The copy, whose values may be outdated.
    pub(super) fn held_mut(&mut self) -> &mut Held {
        let held = match self.current.get_mut() {
            Some(held) => held,
            None => self.outdated.get_mut().as_mut().expect("the copy is in one place"),
        };
        &mut *held
    }

    /// The copy, whose values are outdated from now on.
    pub(super) fn outdated(&mut self) -> &mut Held {
        if let Some(held) = self.current.take() {
            self.outdated.replace(Some(held));
        }
        self.held_mut()
    }
}
