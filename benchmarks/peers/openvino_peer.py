"""Benchmarks inference in OpenVINO, on the network exported by PyTorch. Needs openvino."""

import nets
import openvino
import serve
import torch
from ort_peer import export


def prepare(args):
    if (args.mode, args.dtype) != ("eval", "fp32"):
        raise SystemExit("OpenVINO is measured only with --mode eval and --dtype fp32")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net, shape, _ = nets.build(args.arch)
    images = torch.randn(args.batch, *shape)
    core = openvino.Core()
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": args.threads, "NUM_STREAMS": 1}
    model = core.read_model(export(net.eval(), images))
    request = core.compile_model(model, "CPU", options).create_infer_request()
    feed = {0: images.numpy()}
    facts = {"openvino": openvino.__version__.split("-")[0], "threads": args.threads}
    return lambda: request.infer(feed), facts


if __name__ == "__main__":
    parser = serve.arguments(__doc__)
    parser.set_defaults(mode="eval")
    serve.run(parser.parse_args(), prepare)
