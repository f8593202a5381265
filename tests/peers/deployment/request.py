"""Judges the parameters of a request to AWS by the SDK's model: argv is service, operation, file."""

import json
import sys

import botocore.session
from botocore.validate import validate_parameters

service, operation, file = sys.argv[1:]
model = botocore.session.Session().get_service_model(service).operation_model(operation)
with open(file, encoding="utf-8") as parameters:
    validate_parameters(json.load(parameters), model.input_shape)
