//! `resnet serve`: answers over HTTP.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs},
    panic,
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context, bail};
use resnet::{
    Cpu, give_freed_memory_back, model_file::DEMO, predictor::Predictor, run::model_path,
};
use resnet_formats::{Shown, brief, is_caught, read_text};
use resnet_serve::{Limits, LoadError, Log, ModelSource, Settings};
use serde_json::json;

use crate::{
    args::{Global, HostPort, NamedPath, NetworkArgs, ResizingArgs, ServeArgs, is_name},
    device::{self, DeviceArg, Work},
    error::{Usage, message},
    photos::predictor,
    print, runs,
};

/// More than any list of tokens needs.
const MAX_TOKENS: u64 = 1 << 20;

/// A model of the command line.
struct Source {
    path: PathBuf,
    network: NetworkArgs,
    resizing: ResizingArgs,
    cpu: Cpu,
    device: DeviceArg,
    log: Log,
}

impl ModelSource for Source {
    fn path(&self) -> Option<PathBuf> {
        let path = Some(&*self.path).filter(|path| *path != Path::new(DEMO))?;
        model_path(path).ok()
    }

    fn load(&self) -> Result<Predictor, LoadError> {
        let log = self.log.clone();
        let note = move |text: &str| log.write("note", json!({ "text": text }));
        let device =
            |work: Work<'_>| device::choose(self.device, &self.cpu, None, work, note.clone());
        predictor(&self.path, &self.network, self.resizing, &device, &note)
            .map_err(|error| message(&error).into())
    }
}

pub(crate) fn run(args: &ServeArgs, global: &Global) -> anyhow::Result<()> {
    give_freed_memory_back();
    let refused = "the system refuses a thread: raise the limit of processes (ulimit -u)";
    let log = Log::on_a_thread(print::log).context(refused)?;
    let log = if global.quiet { log.errors_only() } else { log };
    log_panics(&log);
    let cpu = global.cpu()?;
    let mut sources: Vec<(String, Box<dyn ModelSource>)> = Vec::new();
    for NamedPath { name, path } in models(args)? {
        if sources.iter().any(|(other, _)| *other == name) {
            let remedy = "give one of them another name with --model NAME=PATH";
            return Err(Usage(format!("two models are called {name}: {remedy}")).into());
        }
        let (network, resizing) = (args.network.clone(), args.resizing);
        let (cpu, device, log) = (cpu.clone(), global.device, log.clone());
        let source = Source { path, network, resizing, cpu, device, log };
        sources.push((name, Box::new(source)));
    }
    let (is_opened, notes) = (args.open, log.clone());
    let listening = |address| {
        if is_opened {
            open_page(address, &notes);
        }
    };
    let served = resnet_serve::run(settings(args, global)?, sources, log.clone(), listening);
    log.flush();
    Ok(served?)
}

/// From now on a panic is a line of the log, also if it fails images, which have a line of their own.
fn log_panics(log: &Log) {
    let log = log.clone();
    panic::set_hook(Box::new(move |panic| {
        if is_caught() {
            return;
        }
        log.write("panic", json!({ "error": panic.to_string() }));
        // The program ends with its first thread.
        if thread::current().name() == Some("main") {
            log.flush();
        }
    }));
}

/// Opens the page in the browser. It waits for the models itself.
fn open_page(mut address: SocketAddr, log: &Log) {
    // Every address of this machine is none to go to.
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => {
            address.set_ip(Ipv4Addr::LOCALHOST.into())
        }
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => {
            address.set_ip(Ipv6Addr::LOCALHOST.into())
        }
        _ => {}
    }
    let url = format!("http://{address}/");
    if let Err(error) = open::that_detached(&url) {
        log.write(
            "note",
            json!({ "text": format!("{url} cannot be opened in a browser: {error}") }),
        );
    }
}

/// The models, with their names.
fn models(args: &ServeArgs) -> anyhow::Result<Vec<NamedPath>> {
    let mut models = Vec::new();
    for path in &args.paths {
        // A newer run does not replace this one.
        let path = runs::resolve(path)?.into_owned();
        let name = match path.is_dir() {
            true => path.file_name(),
            false => path.file_stem(),
        };
        let Some(name) = name.and_then(|name| name.to_str()).filter(|name| is_name(name)) else {
            let shown = path.shown();
            let what = "is no name for a model: give one with --model NAME=PATH";
            return Err(Usage(format!("{shown} {what}")).into());
        };
        models.push(NamedPath { name: name.to_owned(), path });
    }
    for NamedPath { name, path } in &args.models {
        let path = runs::resolve(path)?.into_owned();
        models.push(NamedPath { name: name.clone(), path });
    }
    Ok(models)
}

fn settings(args: &ServeArgs, global: &Global) -> anyhow::Result<Settings> {
    if args.max_images > args.queue {
        return Err(Usage(format!(
            "--queue {} has no room for a request of --max-images {}: give more of the former, or \
             fewer of the latter",
            args.queue, args.max_images
        ))
        .into());
    }
    Ok(Settings {
        address: address(args)?,
        tokens: args.token_file.as_deref().map(tokens).transpose()?.unwrap_or_default(),
        cors: args.cors.clone(),
        max_batch: args.max_batch,
        max_delay: args.max_delay,
        threads: global.cpu_threads(),
        limits: Limits {
            body: args.max_body,
            pixels: args.max_pixels,
            images: args.max_images,
            queue: args.queue,
            connections: args.max_connections,
            request_time: args.timeout,
            body_time: args.body_timeout,
            ..Limits::default()
        },
    })
}

/// The address to listen on. Of several that a name has, one of IPv4 comes first.
fn address(args: &ServeArgs) -> anyhow::Result<SocketAddr> {
    let (host, port, option) = match &args.listen {
        Some(HostPort { host, port }) => (host.as_str(), *port, "--listen"),
        None => (args.host.as_str(), args.port, "--host"),
    };
    let unknown = || {
        let remedy = "give a name or an address of this machine, such as 127.0.0.1";
        format!("{} cannot be looked up ({option}): {remedy}", brief(host))
    };
    let found: Vec<SocketAddr> = (host, port).to_socket_addrs().with_context(unknown)?.collect();
    let address = found.iter().find(|address| address.is_ipv4()).or(found.first());
    address.copied().with_context(unknown)
}

/// The tokens in a file, one on each line.
fn tokens(path: &Path) -> anyhow::Result<Vec<String>> {
    let shown = path.shown();
    let text = read_text(path, MAX_TOKENS).with_context(|| format!("{shown} cannot be read"))?;
    let tokens = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let tokens: Vec<String> = tokens.map(str::to_owned).collect();
    if tokens.is_empty() {
        bail!("{shown} has no token: write one on each line");
    }
    if tokens.iter().any(|token| !token.chars().all(|c| c.is_ascii_graphic())) {
        bail!("{shown} has a token with a space or a special character: no client could send it");
    }
    Ok(tokens)
}
