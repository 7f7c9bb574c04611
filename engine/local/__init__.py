"""Local models through ONNX Runtime GenAI."""
