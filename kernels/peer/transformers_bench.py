"""Times `transformers` at DiffusionGemma's geometry with random BF16 weights on the same card, as one line of JSON.

The fields are those of `lacuna bench --synthetic SHAPE --json` that both can say, so that two outputs give the ratio.
A step is all that a denoising step has to do: the soft embedding and the self-conditioning block, the layers over a
cached prompt, the head and its cap, temperature, softmax, entropy, argmax, and one sample a row. It is timed as it
stands and, unless told otherwise, compiled; the faster one counts.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable

import torch
from transformers import DiffusionGemmaConfig, DiffusionGemmaForBlockDiffusion, DynamicCache
from transformers.utils import logging

TEMPERATURE = 0.6
EXPERTS = ("grouped_mm", "batched_mm", "eager")

SHAPES = {
    "diffusiongemma-26b-a4b": {
        "vocab_size": 262144,
        "hidden_size": 2816,
        "intermediate_size": 2112,
        "num_hidden_layers": 30,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "num_global_key_value_heads": 2,
        "head_dim": 256,
        "global_head_dim": 512,
        "hidden_activation": "gelu_pytorch_tanh",
        "sliding_window": 1024,
        "max_position_embeddings": 262144,
        "num_experts": 128,
        "top_k_experts": 8,
        "moe_intermediate_size": 704,
    },
    # To try the script where there is no card.
    "small": {
        "vocab_size": 512,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 6,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "num_global_key_value_heads": 1,
        "head_dim": 16,
        "global_head_dim": 32,
        "hidden_activation": "gelu_pytorch_tanh",
        "sliding_window": 32,
        "max_position_embeddings": 4096,
        "num_experts": 8,
        "top_k_experts": 2,
        "moe_intermediate_size": 32,
    },
}

# Only text is measured, but the model cannot be built without a vision tower.
VISION = {
    "model_type": "gemma4_vision",
    "hidden_size": 8,
    "intermediate_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "patch_size": 2,
    "pooling_kernel_size": 1,
    "position_embedding_size": 4,
}


def main() -> None:
    arguments = parse_arguments()
    logging.set_verbosity(logging.CRITICAL)
    if arguments.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("there is no card that this torch can use; --device cpu --shape small tries the script without")
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("highest")
    with torch.inference_mode():
        model, experts = build(arguments)
        report = {
            "device": torch.cuda.get_device_name() if arguments.device == "cuda" else "cpu",
            "shape": arguments.shape,
            "dtype": "bf16",
            "parameters": sum(parameter.numel() for parameter in language_parameters(model)),
            "experts": experts,
            "steps": [],
            "prefill": [],
        }
        for prompt in arguments.prompt:
            if prompt > 0:
                report["prefill"].append(measure_prefill(model, prompt, arguments))
            for rows in arguments.rows:
                report["steps"].append(measure_step(model, rows, prompt, arguments))
        if arguments.device == "cuda":
            free, total = torch.cuda.mem_get_info()
            report["device_memory_gb"] = (total - free) / 1e9
    print(json.dumps(report))


def parse_arguments() -> argparse.Namespace:
    numbers = lambda text: [int(part) for part in text.split(",")]  # noqa: E731
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="diffusiongemma-26b-a4b")
    parser.add_argument("--rows", type=numbers, default=[16, 32, 64, 128, 256], help="canvas rows, all of them denoised")
    parser.add_argument("--prompt", type=numbers, default=[0, 1024, 8192], help="tokens in the cached prompt")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--experts", choices=("auto", *EXPERTS), default="auto", help="auto: the fastest that runs")
    parser.add_argument("--no-compile", action="store_true", help="do not try the step under torch.compile")
    parser.add_argument("--warmup", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=50)
    return parser.parse_args()


def build(arguments: argparse.Namespace) -> tuple[DiffusionGemmaForBlockDiffusion, str]:
    """The model with random weights, made where they stay, and the form of its experts."""
    text = SHAPES[arguments.shape]
    config = DiffusionGemmaConfig(
        text_config={"model_type": "diffusion_gemma_text", **text},
        vision_config=VISION,
        tie_word_embeddings=True,
        dtype="bfloat16",
        boi_token_id=5,
        eoi_token_id=6,
        image_token_id=7,
    )
    config._attn_implementation = "sdpa"
    torch.set_default_dtype(torch.bfloat16)
    with torch.device(arguments.device):
        model = DiffusionGemmaForBlockDiffusion(config).eval()
    torch.set_default_dtype(torch.float32)
    for parameter in model.parameters():
        # At the scale of a trained model's; norms are ones.
        if parameter.ndim > 1:
            bound = (3 / parameter.shape[-1]) ** 0.5
            parameter.uniform_(-bound, bound)
        else:
            parameter.fill_(1)
    times = {}
    for experts in EXPERTS if arguments.experts == "auto" else (arguments.experts,):
        model.set_experts_implementation(experts)
        try:
            step = prepare_step(model, min(arguments.rows), 16, arguments.device)
            times[experts] = min(measure(step, 2, 3, arguments.device))
        except RuntimeError as error:
            print(f"{experts} does not run here: {str(error).splitlines()[0]}", file=sys.stderr)
    if not times:
        raise SystemExit("no form of the experts runs here")
    experts = min(times, key=times.get)
    model.set_experts_implementation(experts)
    return model, experts


def language_parameters(model: DiffusionGemmaForBlockDiffusion) -> list[torch.nn.Parameter]:
    return [parameter for name, parameter in model.named_parameters() if "vision" not in name]


def encode(model: DiffusionGemmaForBlockDiffusion, prompt: int, device: str) -> DynamicCache:
    cache = DynamicCache(config=model.config.text_config)
    if prompt > 0:
        ids = torch.randint(model.config.text_config.vocab_size, (1, prompt), device=device)
        model.model.encoder(input_ids=ids, past_key_values=cache)
    return cache


def measure_prefill(model: DiffusionGemmaForBlockDiffusion, prompt: int, arguments: argparse.Namespace) -> dict:
    times = measure(lambda: encode(model, prompt, arguments.device), 1, min(5, arguments.repeats), arguments.device)
    median_ms = statistics.median(times)
    return {"prompt": prompt, "median_ms": median_ms, "tokens_per_s": prompt / median_ms * 1e3}


def measure_step(
    model: DiffusionGemmaForBlockDiffusion, rows: int, prompt: int, arguments: argparse.Namespace
) -> dict:
    """The step as it stands and compiled; the numbers are the faster one's."""
    measured = {}
    for compiled in (False,) if arguments.no_compile else (False, True):
        # The oldest prompt that it can stand over has one token.
        step = prepare_step(model, rows, max(prompt, 1), arguments.device, compiled)
        try:
            times = sorted(measure(step, arguments.warmup, arguments.repeats, arguments.device))
        except Exception as error:
            if not compiled:
                raise
            print(f"{rows} rows do not compile: {str(error).splitlines()[0]}", file=sys.stderr)
            continue
        measured[compiled] = {"median_ms": statistics.median(times), "p10_ms": times[len(times) // 10]}
    is_compiled = min(measured, key=lambda compiled: measured[compiled]["median_ms"])
    return {"rows": rows, "prompt": prompt, **measured[is_compiled], "compiled": is_compiled}


def prepare_step(
    model: DiffusionGemmaForBlockDiffusion, rows: int, prompt: int, device: str, compiled: bool = False
) -> Callable[[], None]:
    """Encodes a prompt, and returns a function that runs one step after the other."""
    vocabulary = model.config.text_config.vocab_size
    cache = encode(model, prompt, device)
    canvas = torch.randint(vocabulary, (1, rows), device=device)
    conditioning = torch.randn(1, rows, vocabulary, device=device, dtype=torch.bfloat16)
    positions = torch.arange(prompt, prompt + rows, device=device)[None]

    def tempered_step(canvas_ids: torch.Tensor, conditioning: torch.Tensor) -> tuple[torch.Tensor, ...]:
        output = model(
            decoder_input_ids=canvas_ids,
            past_key_values=cache,
            self_conditioning_logits=conditioning,
            decoder_position_ids=positions,
        )
        tempered = output.logits / TEMPERATURE
        log_probabilities = tempered.float().log_softmax(-1)
        probabilities = log_probabilities.exp()
        entropy = -(probabilities * log_probabilities).sum(-1)
        sample = torch.multinomial(probabilities[0], 1)[:, 0]
        return tempered.to(conditioning.dtype), tempered.argmax(-1), entropy, sample[None]

    whole_step = torch.compile(tempered_step) if compiled else tempered_step

    def step() -> None:
        nonlocal canvas, conditioning
        conditioning, _argmax, _entropy, canvas = whole_step(canvas, conditioning)

    return step


def measure(work: Callable[[], object], warmup: int, repeats: int, device: str) -> list[float]:
    """Milliseconds of each run after the warm-up, to the end of the card's work."""
    times = []
    for index in range(warmup + repeats):
        begin = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        if index >= warmup:
            times.append((time.perf_counter() - begin) * 1e3)
    return times


if __name__ == "__main__":
    main()
