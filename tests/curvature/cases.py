"""Small problems on which Hessians and gradients can be written out."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

CLASSES = 3


def linear(count=40, val=20, features=5, bias=True):
    """A softmax regression in float64, not at a minimum, with training and validation data."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(features, CLASSES, bias=bias)).double().eval()
    images = torch.randn(count + val, features, dtype=torch.float64)
    labels = (images[:, :CLASSES] + 0.7 * torch.randn(count + val, CLASSES, dtype=torch.float64)).argmax(1)
    return model, (images[:count], labels[:count]), (images[count:], labels[count:])


def mlp():
    """Two layers in float64 whose Hessian has negative eigenvalues, with data."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, CLASSES)).double().eval()
    images = torch.randn(30, 4, dtype=torch.float64)
    return model, images, torch.arange(30) % CLASSES


def batched(data, size):
    """Data in batches of a size."""
    images, labels = data
    return [(images[i : i + size], labels[i : i + size]) for i in range(0, len(images), size)]


def flat(vector):
    """A vector by parameter name as one row."""
    return torch.cat([value.flatten() for value in vector.values()])


def named(row, model):
    """The opposite of `flat`."""
    parameters = dict(model.named_parameters())
    pieces = row.split([p.numel() for p in parameters.values()])
    return {name: piece.view_as(p) for (name, p), piece in zip(parameters.items(), pieces, strict=True)}


def gradients(model, images, labels):
    """Gradients of every sample's loss (N, P), one plain backward pass each."""
    parameters = list(model.parameters())
    rows = []
    for image, label in zip(images, labels, strict=True):
        loss = F.cross_entropy(model(image[None]), label[None])
        found = torch.autograd.grad(loss, parameters)
        rows.append(torch.cat([g.flatten() for g in found]))
    return torch.stack(rows)


def label_gradients(model, images, classes=CLASSES):
    """Gradients (N, K, P) of every sample with every label."""
    each = [gradients(model, images, torch.full((len(images),), k)) for k in range(classes)]
    return torch.stack(each, 1)


def hessian(model, images, labels):
    """Of the mean loss (P, P)."""
    theta = flat({name: p.detach() for name, p in model.named_parameters()})

    def loss(row):
        return F.cross_entropy(functional_call(model, named(row, model), (images,)), labels)

    return torch.autograd.functional.hessian(loss, theta)


def gauss_newton(model, images):
    """`(1/N) Σ Jᵀ(diag p − ppᵀ)J` (P, P)."""
    theta = flat({name: p.detach() for name, p in model.named_parameters()})
    total = 0
    for image in images:

        def logits(row, image=image):
            return functional_call(model, named(row, model), (image[None],))[0]

        jacobian = torch.autograd.functional.jacobian(logits, theta)
        p = logits(theta).softmax(0)
        total = total + jacobian.T @ (p.diag() - torch.outer(p, p)) @ jacobian
    return total / len(images)


def damped_solve(matrix, damping, row):
    """`(C + λ)⁻¹ v`."""
    return torch.linalg.solve(matrix + damping * torch.eye(len(matrix), dtype=matrix.dtype), row)


def drawn(model, seed=3):
    """A vector by parameter name from N(0, 1)."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(p.shape, generator=generator, dtype=p.dtype) for name, p in model.named_parameters()
    }
