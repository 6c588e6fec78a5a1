//! Published weights by name: `train --init NAME`, and the default for photos.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    process::Command,
    thread,
};

use crate::common::{Finished, Sandbox, write_photos};

const FILE: &str = "resnet18-f37072fd.pth";
const URL: &str = "https://download.pytorch.org/models/resnet18-f37072fd.pth";

/// `resnet` behind a proxy at this address.
fn behind(s: &Sandbox, proxy: &str, args: &[&str]) -> Command {
    let mut command = s.command(args);
    for name in ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    command.env("HTTPS_PROXY", proxy);
    command
}

/// Runs it without a network.
fn offline(s: &Sandbox, args: &[&str]) -> Finished {
    Finished::of(args, behind(s, "http://127.0.0.1:1", args).output().unwrap())
}

fn sandbox() -> Sandbox {
    let s = Sandbox::new();
    write_photos(&s, &["cat", "dog"], 5);
    s
}

#[test]
fn without_a_network_the_default_is_an_error_that_says_what_to_do() {
    let s = sandbox();
    let out = offline(&s, &["train", "photos", "--out", "run"]);
    assert!(out.stderr.contains("the weights start from resnet18.tv_in1k"), "{out:#?}");
    let folder = s.path("data/weights").display().to_string();
    let parts = [&*format!("cannot download {URL}: "), "put it into", &*folder, "--init none"];
    out.fails_behind_notes(1, &parts);
    assert!(!s.path("run").exists() && !s.path("data/weights").exists());
    // Asked for by name, it is the same.
    let named = ["train", "synthetic", "--init", "resnet18", "--quiet", "--out", "run"];
    offline(&s, &named).fails(1, &parts);

    let none = ["--init", "none", "--image-size", "32", "--epochs", "1", "--batch-size", "4"];
    let out = offline(&s, &[&["train", "photos", "--out", "run"][..], &none].concat()).success();
    assert!(!out.stderr.contains("weights"), "{out:#?}");
    let config = fs::read_to_string(s.path("run/config.toml")).unwrap();
    assert!(config.contains("arch = \"resnet18\"") && !config.contains("init_from"), "{config}");
    s.run(&["report", "run", "--no-eval", "--out", "page.html"]).success();
    assert!(fs::read_to_string(s.path("page.html")).unwrap().contains("--init none"));
    // A run that began elsewhere has its file in the cache of that machine.
    let config =
        config.replace("total_steps", "init_from = \"/no/resnet18-f37072fd.pth\"\ntotal_steps");
    fs::write(s.path("other.toml"), config).unwrap();
    offline(&s, &["train", "--config", "other.toml", "--out", "b"]).fails_behind_notes(1, &parts);
}

#[test]
fn a_folder_that_cannot_be_trained_on_needs_no_weights() {
    let s = sandbox();
    fs::remove_dir_all(s.path("photos/dog")).unwrap();
    offline(&s, &["train", "photos"]).fails_behind_notes(1, &["one class, cat"]);
}

#[test]
fn the_proxy_of_the_environment_is_asked() {
    let s = sandbox();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    let request = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let lines = BufReader::new(&stream).lines().map(Result::unwrap);
        let request: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
        request
    });
    let args = ["train", "photos", "--arch", "resnet34", "--quiet"];
    let out = Finished::of(&args, behind(&s, &proxy, &args).output().unwrap());
    out.fails(1, &["cannot download https://download.pytorch.org/models/resnet34-b627a593.pth"]);
    assert_eq!(request.join().unwrap()[0], "CONNECT download.pytorch.org:443 HTTP/1.1");
}

#[test]
fn a_wrong_file_is_removed() {
    let s = sandbox();
    let weights = s.path("data/weights");
    fs::create_dir_all(&weights).unwrap();
    fs::write(weights.join(FILE), "an error page").unwrap();
    let train = ["train", "photos", "--quiet"];
    let parts =
        ["the file that was there is removed: expected SHA-256 f37072fd, got ", "--init none"];
    offline(&s, &train).fails(1, &parts);
    assert!(!weights.join(FILE).exists());
}

#[test]
fn a_name_is_no_file_unless_it_looks_like_one() {
    let s = sandbox();
    let init = |name| ["train", "synthetic", "--init", name, "--out", "run"];
    offline(&s, &init("resnet19"))
        .fails(1, &["--init resnet19: there is no such file, and no published weights"]);
    fs::create_dir(s.path("resnet18")).unwrap();
    let out = offline(&s, &init("resnet18"));
    assert!(out.stderr.contains("the file or folder of the same name here"), "{out:#?}");
    out.fails_behind_notes(1, &[URL]);
    fs::write(s.path("resnet18.a1_in1k"), "mine").unwrap();
    let out = offline(&s, &init("resnet18.a1_in1k"));
    assert!(out.stderr.contains("from the file resnet18.a1_in1k here"), "{out:#?}");
    out.fails_behind_notes(1, &["resnet18.a1_in1k"]);
    // They are listed.
    let archs = s.run(&["archs"]).success().stdout;
    assert!(archs.contains("resnet18          .tv_in1k .a1_in1k .a2_in1k .a3_in1k"), "{archs}");
}

#[test]
fn weights_that_are_not_for_commercial_use_say_so_and_are_no_default() {
    let s = sandbox();
    let said = "the weights resnet18.fb_swsl_ig1b_ft_in1k are not for commercial use";
    // By timm's early name too.
    for name in ["resnet18.fb_swsl_ig1b_ft_in1k", "swsl_resnet18"] {
        let out = offline(&s, &["train", "photos", "--init", name, "--out", "run"]);
        assert!(out.stderr.contains(said), "{out:#?}");
        let url = "https://dl.fbaipublicfiles.com/semiweaksupervision/model_files/\
                   semi_weakly_supervised_resnet18-118f1556.pth";
        out.fails_behind_notes(1, &[url]);
    }
    let out = offline(&s, &["train", "photos", "--init", "resnet18.gluon_in1k"]);
    assert!(!out.stderr.contains("commercial"), "{out:#?}");
    // An error that comes before a network is made.
    let wrong = ["--freeze", "backbone", "--freeze-epochs", "1"];
    let train = ["train", "photos", "--arch", "resnext101_32x16d"];
    let out = offline(&s, &[&train[..], &wrong].concat());
    let said =
        "start at random, since those published for resnext101_32x16d are not for commercial";
    assert!(out.stderr.contains(said), "{out:#?}");
    out.fails_behind_notes(2, &["--freeze backbone is for the whole run"]);
}
