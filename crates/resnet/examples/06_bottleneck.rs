//! What the bottleneck saves (He et al. 2015, figure 5): operations and time of a block in training and in
//! inference, on the 56x56 pixels of the first stage.
//!
//! `cargo run --release -p resnet --example 06_bottleneck`

use std::time::Instant;

use resnet::{
    Cpu, Dtype, Graph, Network,
    engine::{Engine, EngineConfig, EngineError, EvalPlan, Input, MicroBatch, Targets},
    graph::NodeId,
    network::Init,
    random::{Purpose, Random},
    summary::Summary,
};

const SIDE: usize = 56;
const BATCH: usize = 32;
/// Blocks of a network that is measured; the same network without blocks is subtracted.
const BLOCKS: usize = 4;
const ROUNDS: usize = 7;

/// A residual block: the channels and the window of each of its convolutions.
struct Block {
    name: &'static str,
    convs: &'static [(usize, usize)],
}

const KINDS: [Block; 3] = [
    Block { name: "two 3x3 of 64", convs: &[(64, 3), (64, 3)] },
    Block { name: "two 3x3 of 256", convs: &[(256, 3), (256, 3)] },
    Block { name: "bottleneck of 256", convs: &[(64, 1), (64, 3), (256, 1)] },
];

impl Block {
    fn add(&self, g: &mut Graph, name: &str, x: NodeId) -> NodeId {
        let mut y = x;
        for (i, &(channels, kernel)) in self.convs.iter().enumerate() {
            if i > 0 {
                y = g.relu(format!("{name}.relu{i}"), y);
            }
            y = g.conv2d(format!("{name}.conv{}", i + 1), y, channels, kernel, 1, kernel / 2);
            y = g.batch_norm2d(format!("{name}.bn{}", i + 1), y);
        }
        let y = g.add(format!("{name}.add"), y, x);
        g.relu(format!("{name}.relu"), y)
    }

    fn network(&self, blocks: usize) -> Network {
        let mut g = Graph::new(3);
        let (width, _) = self.convs[self.convs.len() - 1];
        let x = g.conv2d("stem.conv", Graph::INPUT, width, 3, 1, 1);
        let x = g.batch_norm2d("stem.bn", x);
        let mut x = g.relu("stem.relu", x);
        for block in 0..blocks {
            x = self.add(&mut g, &format!("block{block}"), x);
        }
        let x = g.global_avg_pool("avgpool", x);
        g.linear("head", x, 10);
        Network::new(g, Init::He, 0)
    }
}

/// Milliseconds of a training step and of inference of a batch.
struct Measured {
    engine: Engine,
    plan: EvalPlan,
    times: [Vec<f64>; 2],
}

impl Measured {
    fn new(network: Network, dtype: Dtype, cpu: &Cpu) -> Result<Self, Box<dyn std::error::Error>> {
        let mut plan = EvalPlan::new(network.graph(), dtype, BATCH, SIDE, SIDE, cpu)?;
        plan.load(&network);
        let config = EngineConfig {
            dtype,
            batch: BATCH,
            eval_batch: 1,
            height: SIDE,
            width: SIDE,
            ..EngineConfig::default()
        };
        Ok(Measured {
            engine: Engine::new(network, &config, cpu)?,
            plan,
            times: Default::default(),
        })
    }

    fn round(&mut self, images: &[f32], labels: &[u32]) -> Result<(), EngineError> {
        let began = Instant::now();
        let batch = MicroBatch::whole(Input::Nchw(images), Targets::labels(labels, 0.0));
        self.engine.backward(batch, &mut ())?;
        self.engine.apply(1e-3)?;
        self.times[0].push(1e3 * began.elapsed().as_secs_f64());
        let began = Instant::now();
        self.plan.forward(Input::Nchw(images), BATCH);
        self.times[1].push(1e3 * began.elapsed().as_secs_f64());
        Ok(())
    }

    /// The medians.
    fn milliseconds(&mut self) -> [f64; 2] {
        self.times.each_mut().map(|times| {
            times.sort_by(f64::total_cmp);
            times[times.len() / 2]
        })
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cpu = Cpu::new(2)?;
    let mut random = Random::new(0, Purpose::Synthetic, &[]);
    let images: Vec<f32> = (0..BATCH * 3 * SIDE * SIDE).map(|_| random.normal()).collect();
    let labels: Vec<u32> = (0..BATCH as u32).map(|image| image % 10).collect();
    for dtype in [Dtype::Fp32, Dtype::Bf16] {
        println!("{dtype}, {} threads, batches of {BATCH}, {SIDE}x{SIDE} pixels", cpu.threads());
        println!("block               parameters   M MACs   ms in training   ms in inference");
        let mut nets = Vec::new();
        for block in &KINDS {
            nets.push([
                Measured::new(block.network(0), dtype, &cpu)?,
                Measured::new(block.network(BLOCKS), dtype, &cpu)?,
            ]);
        }
        // All of them in each round, so that a slower minute is everyone's.
        for _ in 0..ROUNDS {
            nets.iter_mut().flatten().try_for_each(|net| net.round(&images, &labels))?;
        }
        for (block, [none, some]) in KINDS.iter().zip(&mut nets) {
            let [of_none, of_some] = [0, BLOCKS].map(|blocks| block.network(blocks));
            let per_block = |some: usize, none: usize| (some - none) / BLOCKS;
            let parameters = per_block(of_some.values().len(), of_none.values().len());
            let macs =
                |net: &Network| Summary::new(net.graph(), SIDE, SIDE).map(|s| s.macs as usize);
            let macs = per_block(macs(&of_some)?, macs(&of_none)?) as f64 / 1e6;
            let ([train, infer], [train0, infer0]) = (some.milliseconds(), none.milliseconds());
            let of_block = |some: f64, none: f64| (some - none) / BLOCKS as f64;
            println!(
                "{:18}  {parameters:>10}  {macs:>7.1}  {:>15.2}  {:>16.2}",
                block.name,
                of_block(train, train0),
                of_block(infer, infer0)
            );
        }
        println!();
    }
    Ok(())
}
