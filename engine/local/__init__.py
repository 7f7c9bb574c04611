"""Local models through ONNX Runtime GenAI: the store, the conversion and the worker processes.

`store` finds, adds and verifies model folders; `fetch` and `convert` make them; `model.LocalModel` is one
loaded model (a worker process and its requests) and `models.LocalModels` shares them between plans.
Nothing is imported here: the worker starts with this package and must stay light.
"""
