"""The contenders. Each is loaded in a process of its own and answers two questions there: what are the logits, and
how long do round trips take from an input tensor in host memory to logits in host memory?

`open(net, threads, batch)` of a row gives a function from an f32 array [n, 3, 224, 224] to logits [n, classes].
"""

import contextlib
import importlib.util
import os
import sys
import time
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Callable

import numpy as np


def onnxruntime_cpu(net, threads, batch):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(f'{net}.onnx', options, providers=['CPUExecutionProvider'])
    return lambda x: session.run(None, {'x': x})[0]


def ncnn(net, threads, batch, vulkan=False, f16=False):
    import ncnn
    one = ncnn.Net()
    one.opt.use_vulkan_compute = vulkan
    one.opt.num_threads = threads
    for option in ['use_fp16_packed', 'use_fp16_storage', 'use_fp16_arithmetic']:
        setattr(one.opt, option, f16)
    if one.load_param(f'{net}.ncnn.param') or one.load_model(f'{net}.ncnn.bin'):
        raise RuntimeError('the model does not load')

    def run(x):
        rows = []
        for picture in x:
            with one.create_extractor() as extractor:
                extractor.input('in0', ncnn.Mat(picture))
                rows.append(np.array(extractor.extract('out0')[1]))
        return np.stack(rows)
    return run


def mnn_cpu(net, threads, batch):
    import MNN
    interpreter = MNN.Interpreter(f'{net}.mnn')
    session = interpreter.createSession({'backend': 'CPU', 'numThread': threads, 'precision': 'high'})
    src = interpreter.getSessionInput(session, 'x')
    shape = (batch, *src.getShape()[1:])
    interpreter.resizeTensor(src, shape)
    interpreter.resizeSession(session)
    src = interpreter.getSessionInput(session, 'x')
    dst = interpreter.getSessionOutput(session, 'logits')
    layout = MNN.Tensor_DimensionType_Caffe

    def run(x):
        src.copyFrom(MNN.Tensor(shape, MNN.Halide_Type_Float, x, layout))
        interpreter.runSession(session)
        host = MNN.Tensor(dst.getShape(), MNN.Halide_Type_Float, np.zeros(dst.getShape(), np.float32), layout)
        dst.copyToHostTensor(host)
        return host.getNumpyData().reshape(batch, -1).copy()
    return run


def torch_net(net, threads):
    import torch
    from nets import network
    torch.set_num_threads(threads)
    # f32 means f32: no TF32 behind it.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    return torch, network(f'{net}.safetensors', os.path.basename(net)).to(memory_format=torch.channels_last)


def torch_cpu(net, threads, batch):
    torch, module = torch_net(net, threads)

    def run(x):
        with torch.inference_mode():
            return module(torch.from_numpy(x).to(memory_format=torch.channels_last)).numpy()
    return run


def torch_cuda(net, threads, batch, f16=False, compiled=False):
    """With `compiled`, torch.compile; without, eager kernels recorded once in a CUDA graph and replayed."""
    torch, module = torch_net(net, threads)
    dtype = torch.float16 if f16 else torch.float32
    module = module.to('cuda', dtype)
    src = torch.zeros(batch, 3, 224, 224, device='cuda', dtype=dtype).to(memory_format=torch.channels_last)
    if compiled:
        module = torch.compile(module, mode='max-autotune')

        def replay():
            return module(src)
    else:
        side = torch.cuda.Stream()
        with torch.inference_mode(), torch.cuda.stream(side):
            for _ in range(3):
                module(src)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.inference_mode(), torch.cuda.graph(graph):
            dst = module(src)

        def replay():
            graph.replay()
            return dst

    def run(x):
        with torch.inference_mode():
            src.copy_(torch.from_numpy(x))
            return replay().float().cpu().numpy()
    return run


def has_vulkan():
    import ncnn
    return ncnn.get_gpu_count() > 0


def has_cuda():
    import torch
    return torch.cuda.is_available()


@dataclass(frozen=True)
class Contender:
    name: str
    place: str  # 'cpu' or 'gpu'
    dtype: str
    open: Callable
    arguments: tuple = ()  # of `open`, by name
    modules: tuple = ()
    there: Callable = lambda: True
    batches: Callable = lambda batch: True


def one(batch):
    return batch == 1


ROWS = [
    Contender('ONNX Runtime', 'cpu', 'f32', onnxruntime_cpu, (), ('onnxruntime',)),
    Contender('ncnn', 'cpu', 'f32', ncnn, (), ('ncnn',), batches=one),
    Contender('MNN', 'cpu', 'f32', mnn_cpu, (), ('MNN',)),
    Contender('PyTorch', 'cpu', 'f32', torch_cpu, (), ('torch', 'timm')),
    Contender('ncnn Vulkan', 'gpu', 'f32', ncnn, (('vulkan', True),), ('ncnn',), has_vulkan, one),
    Contender('ncnn Vulkan', 'gpu', 'f16', ncnn, (('vulkan', True), ('f16', True)), ('ncnn',), has_vulkan, one),
    *[Contender(f'PyTorch CUDA {"torch.compile" if compiled else "graph"}', 'gpu', 'f16' if f16 else 'f32', torch_cuda,
                (('f16', f16), ('compiled', compiled)), ('torch', 'timm'), has_cuda)
      for f16 in [False, True] for compiled in [False, True]],
]


def missing(row):
    """Why a contender cannot take part; None if it can."""
    for module in row.modules:
        if importlib.util.find_spec(module) is None:
            return f'{module} is not installed'
    with silence():
        return None if row.there() else 'no such device'


@contextlib.contextmanager
def silence():
    """Libraries in C write to file descriptor 1 as they load."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def serve(pipe, place, net, threads, x):
    row = ROWS[place]
    try:
        with silence():
            run = row.open(str(net), threads, len(x), **dict(row.arguments))
            logits = run(x)
        pipe.send(logits)
        while (seconds := pipe.recv()) is not None:
            run(x)
            samples = []
            end = time.perf_counter() + seconds
            while len(samples) < 3 or time.perf_counter() < end:
                start = time.perf_counter()
                run(x)
                samples.append(time.perf_counter() - start)
            pipe.send(samples)
    except (EOFError, KeyboardInterrupt):
        pass
    except Exception as error:
        pipe.send(f'{type(error).__name__}: {error}'.splitlines()[0])


class Peer:
    """A contender in its process, which sleeps between its turns."""

    def __init__(self, row, net, threads, x):
        self.name, self.place, self.dtype = row.name, row.place, row.dtype
        context = get_context('spawn')
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, ROWS.index(row), net, threads, x), daemon=True)
        self.process.start()
        theirs.close()
        self.logits = self.receive()

    def receive(self):
        try:
            answer = self.pipe.recv()
        except EOFError:
            answer = 'its process ended'
        if isinstance(answer, str):
            raise RuntimeError(answer)
        return answer

    def turn(self, seconds):
        """Milliseconds of the median and of the least round trip of one turn."""
        self.pipe.send(seconds)
        samples = self.receive()
        return 1e3 * float(np.median(samples)), 1e3 * min(samples)

    def close(self):
        with contextlib.suppress(OSError):
            self.pipe.send(None)
        self.process.join(5)
        self.process.kill()
