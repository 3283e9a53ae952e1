"""Which formulas the model reads, quickly: keys and values are kept from token to token, and pictures are read together."""
import torch
import torch.nn.functional as F

from convert_latex_ocr import BEGIN, END, load


def _part(attention, x_btd, i):
    """Queries (0), keys (1) or values (2), [batch, heads, tokens, size]."""
    weight, bias = (each.chunk(3)[i] for each in (attention.in_proj_weight, attention.in_proj_bias))
    return F.linear(x_btd, weight, bias).unflatten(2, (attention.num_heads, -1)).transpose(1, 2)


def _join(attention, q_bhtd, k_bhkd, v_bhkd):
    return attention.out_proj(F.scaled_dot_product_attention(q_bhtd, k_bhkd, v_bhkd).transpose(1, 2).flatten(2))


class QuickReader:
    def __init__(self):
        self.model, self.texts = load()

    @torch.no_grad()
    def read(self, images_bchw, limit):
        """The answers, as texts."""
        model = self.model
        memory_bkd = model.encode(images_bchw)
        crossed = [(_part(block.cross_attn, memory_bkd, 1), _part(block.cross_attn, memory_bkd, 2)) for block in model.decoder_blocks]
        kept = [None] * len(crossed)
        ids_bt = torch.full((images_bchw.size(0), 1), BEGIN)
        for t in range(limit):
            embed = model.decoder_embed
            x = embed.norm(embed.token_emb(ids_bt[:, -1:]) + embed.pos_emb(torch.tensor([t]))[None])
            for i, block in enumerate(model.decoder_blocks):
                normed = block.self_norm(x)
                new = [_part(block.self_attn, normed, part) for part in (1, 2)]
                kept[i] = new if kept[i] is None else [torch.cat(pair, 2) for pair in zip(kept[i], new)]
                x = x + _join(block.self_attn, _part(block.self_attn, normed, 0), *kept[i])
                x = x + _join(block.cross_attn, _part(block.cross_attn, block.cross_norm(x), 0), *crossed[i])
                x = x + block.ffn(block.ffn_norm(x))
            ids_bt = torch.cat([ids_bt, model.lm_head(model.decoder_norm(x))[:, -1].argmax(-1, keepdim=True)], 1)
            if bool((ids_bt == END).any(1).all()):
                break
        return ["".join(self.texts[i] for i in (row[:row.index(END)] if END in row else row)) for row in ids_bt[:, 1:].tolist()]
