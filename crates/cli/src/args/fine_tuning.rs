//! Options of fine-tuning: which layers train, when, and how fast. They override a recipe.

use clap::Args;

use super::values;

#[derive(Clone, Debug, Default, Args)]
pub(crate) struct FineTuningArgs {
    /// Layers that do not train, such as layer1 or layer2.0, or `backbone` for all but the classifier; their
    /// batch norms use the running statistics, which stay as they are. Where the recipe first trains the classifier
    /// alone, it still does [default: the recipe's]
    #[arg(long, value_name = "backbone|LAYER", value_delimiter = ',')]
    pub(crate) freeze: Vec<String>,
    /// Train only the classifier for the first N epochs, and then all layers (fastai's fine_tune); 0 to train
    /// all from the start [default: the recipe's]
    #[arg(long, value_name = "N")]
    pub(crate) freeze_epochs: Option<u32>,
    /// Learning rates by depth: that of each stage is X times that of the next one, from the classifier down
    /// to the stem (timm's layer-decay) [default: the recipe's]
    #[arg(long, value_name = "X", value_parser = values::share)]
    pub(crate) layer_decay: Option<f64>,
}
