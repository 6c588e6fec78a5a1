//! Tests of the operations against torchvision, of the draws against formulas, and of the settings.

mod draws;
mod settings;
mod torchvision;
