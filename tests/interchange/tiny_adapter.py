"""What the comparisons on tiny models share: a tokenizer of words, and an adapter that
`pupil sft` trains."""
import json
import subprocess

TEXT = "w3 w1 w4 w1 w5 w9 w2 w6 w5 w3 w5 w8 w9 w7 w9 w3"


def put_words(folder, vocab_size):
    """Puts a tokenizer of `vocab_size` words into a model's source."""
    words = {"version": "1.0", "added_tokens": [], "pre_tokenizer": {"type": "Whitespace"},
             "model": {"type": "WordLevel", "vocab": {f"w{i}": i for i in range(vocab_size)},
                       "unk_token": "w0"}}
    (folder / "tokenizer.json").write_text(json.dumps(words))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "w1"}))


def trained(pupil, model_dir, folder, **lora):
    """The adapter of two steps at a rate that moves the text, in the new `folder`."""
    folder.mkdir()
    (folder / "text.jsonl").write_text((json.dumps({"text": TEXT}) + "\n") * 4)
    (folder / "config.yaml").write_text(json.dumps({  # YAML contains JSON
        "hardware": {"mlx_model_path": str(model_dir)},
        "data": {"train": str(folder / "text.jsonl")},
        "lora": {"rank": 4} | lora,
        "train": {"method": "sft", "max_steps": 2, "prompts_per_step": 2,
                  "learning_rate": 0.05},
        "logging": {"run_dir": str(folder / "run")}}))
    subprocess.run([pupil, "sft", "-c", folder / "config.yaml"], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return folder / "run" / "adapters"
