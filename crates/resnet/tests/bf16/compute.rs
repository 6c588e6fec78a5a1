//! What this library computes for a network and a batch: `check.py` compares that with
//! what PyTorch does.
//!
//! `compute gradients|logits|trained fp32|bf16 fastest|direct ARCH NETWORK BATCH OUT`
//!
//! All three are safetensors files: a network's state dict; `input` `[n][channels][height][width]`
//! with integers `target` `[n]`; and what is found.
//!
//! - `gradients` of the mean cross entropy of the whole batch in training mode, under the names of
//!   the parameters
//! - `logits` `[n][classes]` with running statistics
//! - `trained`: a state dict, after some passes over the images. BATCH has also `learns.NAME` for
//!   every parameter: its gradients are multiplied by that, so that 0 keeps a weight as it is.

use std::{env, error::Error, num::NonZero, path::Path, thread};

use resnet::{
    Cpu, Dtype,
    engine::{Engine, EngineConfig, EvalPlan, Input, MicroBatch, Targets, TrainPlan},
    model_file::Model,
    optim::SgdConfig,
};
use resnet_formats::{Data, NamedTensors, Tensor, safetensors};
use resnet_kernels::Algorithms;

/// Images that are evaluated, or trained on, at once.
const BATCH: usize = 128;
/// Passes over all images in training, and the learning rate that falls to zero over them.
const PASSES: usize = 6;
const RATE: f32 = 0.05;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [what, dtype, algorithms, arch, network, batch, out] = &args[..] else {
        return Err("expected seven arguments".into());
    };
    let dtype: Dtype = dtype.parse()?;
    let algorithms = match algorithms.as_str() {
        "fastest" => Algorithms::Fastest,
        "direct" => Algorithms::Direct,
        other => return Err(format!("unknown algorithms '{other}'").into()),
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let cpu = Cpu::new(threads)?.with_algorithms(algorithms);
    let model = Model::load(Path::new(network), Some(arch.parse()?))?;
    let (batch, _) = safetensors::read(Path::new(batch))?;
    let found = match what.as_str() {
        "gradients" => gradients(&model, &batch, dtype, &cpu)?,
        "logits" => logits(&model, &batch, dtype, &cpu)?,
        "trained" => trained(model, &batch, dtype, &cpu)?,
        other => return Err(format!("unknown values '{other}'").into()),
    };
    safetensors::write(Path::new(out), &found, &safetensors::Metadata::new())?;
    Ok(())
}

fn tensor<'a>(batch: &'a NamedTensors, name: &str) -> Result<&'a Tensor, String> {
    let found = batch.iter().find(|(n, _)| n == name);
    Ok(&found.ok_or_else(|| format!("the batch has no {name}"))?.1)
}

/// Images, and their number, rows and columns.
fn images(batch: &NamedTensors) -> Result<(&[f32], [usize; 3]), String> {
    let input = tensor(batch, "input")?;
    match (input.as_f32(), &input.shape[..]) {
        (Some(values), &[n, _, height, width]) => Ok((values, [n, height, width])),
        _ => Err("the input is not [n][channels][height][width] in f32".into()),
    }
}

fn labels(batch: &NamedTensors) -> Result<Vec<u32>, Box<dyn Error>> {
    let Data::I64(target) = &tensor(batch, "target")?.data else {
        return Err("targets are not integers".into());
    };
    Ok(target.iter().map(|&t| u32::try_from(t)).collect::<Result<_, _>>()?)
}

fn gradients(
    model: &Model,
    batch: &NamedTensors,
    dtype: Dtype,
    cpu: &Cpu,
) -> Result<NamedTensors, Box<dyn Error>> {
    let (values, [n, height, width]) = images(batch)?;
    let labels = labels(batch)?;
    let mut net = model.network.clone();
    let mut plan = TrainPlan::new(net.graph(), dtype, n, height, width, cpu)?;
    let mut gradients = vec![f32::NAN; net.values().len()];
    let targets = Targets::labels(&labels, 0.0);
    let part = MicroBatch::whole(Input::Nchw(values), targets);
    plan.step(&mut net, &mut gradients, false, part, &mut ());
    Ok(net.export(&gradients))
}

fn logits(
    model: &Model,
    batch: &NamedTensors,
    dtype: Dtype,
    cpu: &Cpu,
) -> Result<NamedTensors, Box<dyn Error>> {
    let (values, [n, height, width]) = images(batch)?;
    let graph = model.network.graph();
    let mut plan = EvalPlan::new(graph, dtype, BATCH, height, width, cpu)?;
    plan.load(&model.network);
    let image = graph.in_channels() * height * width;
    let mut logits = Vec::new();
    for part in values.chunks(BATCH * image) {
        logits.extend(plan.forward(Input::Nchw(part), part.len() / image));
    }
    Ok(vec![("logits".into(), Tensor::f32(&[n, graph.classes()], logits))])
}

fn trained(
    model: Model,
    batch: &NamedTensors,
    dtype: Dtype,
    cpu: &Cpu,
) -> Result<NamedTensors, Box<dyn Error>> {
    let (values, [n, height, width]) = images(batch)?;
    let labels = labels(batch)?;
    let net = model.network;
    let learns =
        |(name, t): &(String, Tensor)| Some((name.strip_prefix("learns.")?.into(), t.clone()));
    let learns = net.import(&batch.iter().filter_map(learns).collect())?;
    let sgd = SgdConfig {
        momentum: 0.9,
        weight_decay: 0.0,
        nesterov: false,
        decay_norm_and_bias: false,
        ..SgdConfig::default()
    };
    let image = net.graph().in_channels() * height * width;
    let config = EngineConfig {
        dtype,
        batch: BATCH,
        eval_batch: 1,
        height,
        width,
        optimizer: sgd.into(),
        ..EngineConfig::default()
    };
    let mut engine = Engine::new(net, &config, cpu)?;
    let steps = n / BATCH * PASSES;
    let batches = values.chunks_exact(BATCH * image).zip(labels.chunks_exact(BATCH));
    for (step, (values, labels)) in batches.cycle().take(steps).enumerate() {
        let targets = Targets::labels(labels, 0.0);
        engine.backward(MicroBatch::whole(Input::Nchw(values), targets), &mut ())?;
        engine.gradients_mut()?.iter_mut().zip(&learns).for_each(|(g, learns)| *g *= learns);
        engine.apply(RATE * (1.0 - step as f32 / steps as f32))?;
    }
    Ok(engine.store()?.0.state_dict())
}
