"""Does a warm-up of the learning rate help a small language model on my text?

在我的文本上，学习率预热对小语言模型有帮助吗？
"""

from clearhead.bilingual import Bilingual, same, title_of
from clearhead.experiments.claims import Claim, below, difference
from clearhead.experiments.experiment import BySize, Experiment, Tune
from clearhead.experiments.question import Question
from clearhead.experiments.recipe import read_recipe
from clearhead.experiments.trained import Trained
from clearhead.experiments.views import Axis, View

ARMS = {"warm-up": "training.warmup=0.2", "none": "training.warmup=0"}
TUNE = Tune("learning_rate", (3e-3, 1e-2, 3e-2), "held_out")

QUESTION = Question(
    title=title_of(__doc__),
    experiments=[
        Experiment(
            "warm_up", Trained(read_recipe("lm-transformer")), ARMS, seeds=BySize((5,), (6, 12)), tune=TUNE,
            settings=BySize({"steps": 60}, {"steps": 300}), needs_text=True,
        ),
    ],
    claims=[
        Claim(
            "warm_up_helps", difference("warm_up", "held_out", "warm-up", "none"), below(-0.02), "nats",
            Bilingual("a warm-up lowers the held-out loss by over 0.02 nats", "预热使留出损失降低 0.02 nat 以上"),
            supported=Bilingual("It helped: {warm_up_helps.effect:+.3f} nats.", "有帮助：{warm_up_helps.effect:+.3f} nat。"),
            refuted=Bilingual("It did not: {warm_up_helps.effect:+.3f} nats.", "没有：{warm_up_helps.effect:+.3f} nat。"),
        ),
    ],
    figures=[
        View(
            "warm_up", "bars", "warm_up", ("held_out",), Axis("arm", same("")),
            Axis("value", Bilingual("held-out loss, nats", "留出损失，nat")),
            Bilingual("With and without a warm-up", "有无预热"), Bilingual("Equal steps, tuned rates.", "步数相同，学习率各自调过。"),
        ),
    ],
    mechanism=Bilingual("Early gradients are large and point every way.", "训练初期梯度大而方向不定。"),
    held_equal=Bilingual("One recipe, equal steps, paired seeds.", "同一配方，步数相同，种子配对。"),
)
