"""Makes what newcomers give to the gaze program by mistake, in the working directory. Needs torch; transformers where it is there."""
import collections

import numpy
import torch
from torch import Tensor, nn


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 16, 8, 8)
        self.q = nn.Linear(16, 16)

    def forward(self, image: Tensor, scale: float = 1.0) -> Tensor:
        x = self.patch(image).flatten(2).transpose(1, 2)
        return torch.softmax(self.q(x) @ x.transpose(1, 2) * scale, -1) @ x


class Detector(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q = nn.Linear(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.gaze_mistakes.twice(torch.softmax(self.q(x) @ x.transpose(1, 2), -1) @ x)


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(10, 8)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.words(ids)
        return torch.softmax(x @ x.transpose(1, 2), -1) @ x


torch.manual_seed(0)
net, image = Net().eval(), torch.rand(1, 3, 32, 48)
torch.jit.script(net).save("model.pt")
torch.save((image,), "inputs.pt")
torch.save(net, "pickled.pt")
torch.save(net.state_dict(), "state.pt")
torch.save({"model": net.state_dict(), "epoch": 3}, "checkpoint.pt")
torch.save(net.state_dict(), "legacy.pt", _use_new_zipfile_serialization=False)
with torch.no_grad():
    torch.jit.optimize_for_inference(torch.jit.trace(net, (image,))).save("optimised.pt")
torch.export.save(torch.export.export(net, (image,)), "exported.pt2")
torch.save(collections.OrderedDict(image=image), "ordered.pt")
torch.save({"image": image.numpy()}, "numpy.pt")
numpy.save("array.npy", image.numpy())
numpy.savez("arrays.npz", image.numpy())
torch.save({"image": image.half()}, "half_inputs.pt")
torch.save({"image": image.double()}, "double_inputs.pt")
torch.save({"image": image.to_sparse()}, "sparse.pt")
torch.save({"image": "photo.png"}, "path.pt")
torch.save((image, torch.ones(3)), "tensor_for_number.pt")
torch.save({"image": image, "pixel_mask": torch.ones(1, 32, 48)}, "mask_too.pt")
torch.save({"imge": image}, "misspelt.pt")
torch.save({1: image}, "numbered.pt")
torch.save({"scale": 2.0}, "missing.pt")
torch.save((image[:, :, :, :47].narrow(1, 0, 2),), "channels.pt")
torch.jit.script(Net().eval().half()).save("half_model.pt")
torch.jit.script(Words().eval()).save("words.pt")
torch.save((torch.tensor([[1, 99]]),), "ids.pt")
library = torch.library.Library("gaze_mistakes", "DEF")
library.define("twice(Tensor a) -> Tensor")
library.impl("twice", lambda a: a + a, "CPU")
torch.jit.script(Detector().eval()).save("custom.pt")
torch.save((torch.rand(1, 5, 16),), "custom_inputs.pt")
try:
    from transformers import BatchEncoding, BatchFeature
    torch.save(BatchFeature({"image": image}), "feature.pt")
    torch.save(BatchEncoding({"image": image}), "encoding.pt")
except ImportError:
    pass
