"""The sections of Keras's callbacks."""

from pydantic import Field

from trainer.config.types import _MONITORED, Mode, Monitor, Section


class EarlyStoppingSection(Section):
    """keras.callbacks.EarlyStopping."""

    monitor: Monitor = Field("val_accuracy", description=_MONITORED)
    patience: int = Field(10, ge=0, description="epochs without an improvement before training stops")
    min_delta: float = Field(0.0, description="minimum change that counts as an improvement")
    mode: Mode = Field(
        "auto", description="whether lower (min) or higher (max) is better; auto: by the name of the metric"
    )
    baseline: float | None = Field(
        None,
        description="value to reach: training stops if there is no improvement on it within the patience",
    )
    restore_best_weights: bool = Field(
        False,
        description="end with the weights of the best epoch by monitor, also as the last weights",
    )
    start_from_epoch: int = Field(0, ge=0, description="epochs to wait before monitoring starts")


class ReduceLROnPlateauSection(Section):
    """keras.callbacks.ReduceLROnPlateau."""

    monitor: Monitor = Field("val_loss", description=_MONITORED)
    patience: int = Field(4, ge=0, description="epochs without an improvement before the rate is reduced")
    factor: float = Field(0.1, gt=0, lt=1, description="factor by which the learning rate is reduced")
    mode: Mode = Field(
        "auto", description="whether lower (min) or higher (max) is better; auto: by the name of the metric"
    )
    min_delta: float = Field(1e-4, description="minimum change that counts as an improvement")
    min_lr: float = Field(0.0, ge=0, description="lower bound of the learning rate")
    cooldown: int = Field(0, ge=0, description="epochs to wait after a reduction before counting again")
