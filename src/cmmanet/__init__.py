"""CMMANet (video-based person re-identification): the library behind the pipeline."""

__version__ = "0.1.0"
