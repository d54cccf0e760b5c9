"""Speed of PROSE's parts: trajectories per second, a training step, and decoding, beside a plain transformer of the same sizes.

python -m benchmarks.prose_speed          one core; a few minutes

The peer is built of torch's `nn.TransformerEncoderLayer` and `nn.TransformerDecoderLayer` (pre-norm, GELU, same widths and
layers), asked for its attention weights as the reference implementation asks (which keeps fused kernels out), and decodes by
computing the whole prefix at each word. Both decode the same number of words of the same windows, greedily.
"""

import time

import numpy as np
import torch
from torch import nn

from benchmarks.record import record
from pdes.compositional import compositional
from pdes.vocabulary import BOS, ID, WORDS
from pdes.windows import MULTI_DIMENSIONAL, THREE_DIMENSIONAL, windows
from sciml import Training
from sciml.operator import Position
from sciml.operators.prose import PRESETS, PROSE
from sciml.operators.prose.decoding import greedy
from sciml.tasks import as_task

REPEATS, WORDS_DECODED, BATCH = 3, 72, 64
SIZES = {"components": 3, "symbols": 72, "length": 72}


class Weighted(nn.TransformerEncoderLayer):
    """Self-attention that also returns its weights."""

    def _sa_block(self, x, attn_mask, key_padding_mask, is_causal=False):
        return self.self_attn(x, x, x, attn_mask=attn_mask, key_padding_mask=key_padding_mask, need_weights=True)[0]


class WeightedDecoder(nn.TransformerDecoderLayer):
    """Both attentions also return their weights."""

    def _sa_block(self, x, attn_mask, key_padding_mask, is_causal=False):
        return self.self_attn(x, x, x, attn_mask=attn_mask, key_padding_mask=key_padding_mask, need_weights=True)[0]

    def _mha_block(self, x, mem, attn_mask, key_padding_mask, is_causal=False):
        return self.multihead_attn(x, mem, mem, attn_mask=attn_mask, key_padding_mask=key_padding_mask, need_weights=True)[0]


class Plain(nn.Module):
    """The same encoders, fusion and decoders from torch's layers, and the same embeddings."""

    def __init__(self, config):
        super().__init__()
        c = self.config = config
        options = {"dropout": 0.0, "activation": "gelu", "batch_first": True, "norm_first": True}
        layers = lambda kind, n: nn.ModuleList(kind(c.width, c.heads, c.hidden, **options) for _ in range(n))  # noqa: E731
        self.embed = nn.Sequential(nn.Linear(1 + c.components, c.width), nn.GELU(), nn.Linear(c.width, c.width))
        self.query = nn.Linear(1, c.width)
        self.words = nn.Embedding(len(WORDS), c.width)
        self.data, self.symbols, self.fusion = (layers(Weighted, n) for n in (c.encoder, c.symbol_encoder, c.fusion))
        self.decoder, self.writer = layers(WeightedDecoder, c.decoder), layers(WeightedDecoder, c.symbol_decoder)
        self.readout = nn.Linear(c.width, c.components)

    def memory(self, states, times, symbols):
        """Fused tokens, and where the words among them are padding."""
        x = self.embed(torch.cat([times.expand(len(states), -1)[..., None], states], -1))
        y, missing = self.words(symbols), symbols == 0
        for layer in self.data:
            x = layer(x)
        for layer in self.symbols:
            y = layer(y, src_key_padding_mask=missing)
        fused = torch.cat([x, y], 1)
        missing = torch.cat([torch.zeros(x.shape[:2], dtype=torch.bool), missing], 1)
        for layer in self.fusion:
            fused = layer(fused, src_key_padding_mask=missing)
        return fused, missing

    def states_at(self, fused, times):
        """Answers at times (query,)."""
        x = self.query(times[:, None]).expand(len(fused), -1, -1)
        alone = ~torch.eye(len(times), dtype=torch.bool)  # torch's layer has self-attention: each query sees itself
        for layer in self.decoder:
            x = layer(x, fused, tgt_mask=alone)
        return self.readout(x)

    def logits(self, memory, words):
        """Logits after each word."""
        fused, missing = memory
        x, causal = self.words(words), nn.Transformer.generate_square_subsequent_mask(words.shape[1])
        for layer in self.writer:
            x = layer(x, fused, tgt_mask=causal, memory_key_padding_mask=missing)
        return x @ self.words.weight.T


def best(call, repeats: int = REPEATS, clock=time.perf_counter) -> float:
    """Seconds of the fastest of some calls, after one that is not counted."""
    call()
    times = []
    for _ in range(repeats):
        began = clock()
        call()
        times.append(clock() - began)
    return min(times)


def generation() -> list[dict]:
    """Trajectories of 192 states per second."""
    rows = []
    for name, make in (
        ("fifteen families", lambda single: windows(MULTI_DIMENSIONAL, 15000, 7, single=single)),
        ("twelve families", lambda single: windows(THREE_DIMENSIONAL, 12000, 7, single=single)),
        ("random systems", lambda single: compositional(400, 7, single=single)),
    ):
        for single in (False, True):
            count = {"random systems": 400, "fifteen families": 15000, "twelve families": 12000}[name]
            call = lambda make=make, single=single: make(single)  # noqa: E731
            rows.append(
                {
                    "what": name,
                    "precision": "float32" if single else "float64",
                    "per second": count / best(call, 2),
                    "per processor second": count / best(call, 1, time.process_time),
                }
            )
    return rows


def steps_and_decoding() -> list[dict]:
    """Seconds of a training step, and of decoding 72 words of 64 windows."""
    torch.set_num_threads(1)
    data = windows(THREE_DIMENSIONAL, BATCH, 7, starts=1)
    operator = PROSE(**PRESETS["small"] | SIZES)
    task = as_task("continuation", data.dataset())
    operator.bind(task, seed=3)
    learner = operator.learner(Training(device="cpu").filled({}))
    learner.start(10)
    batch = task.batch(np.arange(BATCH))
    ours_step = best(lambda: learner.step(batch, Position(0, 0, 0)))

    plain = Plain(operator.config)
    optimizer = torch.optim.AdamW(plain.parameters(), lr=1e-4)
    states, times = torch.as_tensor(data.states[:, :64], dtype=torch.float32), torch.as_tensor(data.times, dtype=torch.float32)
    symbols = torch.as_tensor(np.pad(data.equations, ((0, 0), (0, max(0, 72 - data.equations.shape[1]))))[:, :72])
    asked = torch.arange(64, 192, 4)

    def step():
        memory = plain.memory(states, times[:64], symbols)
        answer = plain.states_at(memory[0], times[asked])
        loss = (answer - torch.as_tensor(data.states[:, asked], dtype=torch.float32)).square().mean()
        loss = loss + nn.functional.cross_entropy(plain.logits(memory, symbols[:, :-1]).flatten(0, 1), symbols[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
        optimizer.step()

    plain_step = best(step)
    operator.module.eval()
    plain.eval()

    @torch.no_grad()
    def cached():
        """Free greedy decoding of all 72 words: an untrained network hardly ever ends."""
        memory = operator.encoded(data.states[:, :64], data.times[:64], data.components, symbols.numpy())
        cache, word = operator.module.cache(memory), torch.full((BATCH,), ID[BOS])
        for _ in range(WORDS_DECODED):
            word = cache.step(word).argmax(-1)

    @torch.no_grad()
    def constrained():
        memory = operator.encoded(data.states[:, :64], data.times[:64], data.components, symbols.numpy())
        return greedy(operator.module, memory, length=WORDS_DECODED)

    @torch.no_grad()
    def recomputed():
        memory = plain.memory(states, times[:64], symbols)
        words = torch.full((BATCH, 1), ID[BOS])
        for _ in range(WORDS_DECODED):
            words = torch.cat([words, plain.logits(memory, words)[:, -1:].argmax(-1)], 1)

    ours, theirs, ruled = best(cached), best(recomputed), best(constrained)
    count = lambda module: sum(p.numel() for p in module.parameters())  # noqa: E731
    return [
        {"what": "parameters", "ours": count(operator.module), "plain": count(plain)},
        {"what": "training step, 64 windows", "ours": ours_step, "plain": plain_step, "ratio": plain_step / ours_step},
        {"what": "decoding 72 words, 64 windows", "ours": ours, "plain": theirs, "ratio": theirs / ours},
        {"what": "the same under the grammar", "ours": ruled, "plain": theirs, "ratio": theirs / ruled},
    ]


def main() -> None:
    """See the module."""
    found = {"generation": generation(), "network": steps_and_decoding()}
    print(record("prose_speed", found))
    for row in (*found["generation"], *found["network"]):
        print(row)


if __name__ == "__main__":
    main()
