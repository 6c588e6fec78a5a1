"""A classifier behind LitServe: `POST /v1/predict` with a photo in base64, the form that LitServe reads.

    python litserve_peer.py PORT WORKERS

onnx_classifier.py says what the environment has.
"""

import base64
import sys

import litserve
from onnx_classifier import Classifier


class Api(litserve.LitAPI):
    def setup(self, device):
        self.classifier = Classifier()

    def decode_request(self, request):
        return base64.b64decode(request["image"])

    def predict(self, data):
        return self.classifier.classify(data)

    def encode_response(self, output):
        return {"predictions": [output]}


if __name__ == "__main__":
    port, workers = map(int, sys.argv[1:])
    api = Api(api_path="/v1/predict")
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=workers, healthcheck_path="/readyz")
    server.run(port=port, log_level="warning", generate_client_file=False)
