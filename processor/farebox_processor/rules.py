"""What the configuration says the chain goes by, loaded."""

from farebox_processor.config import Config
from farebox_processor.dialects import load_dialects
from farebox_processor.pipeline import Rules
from farebox_processor.plans import load_plans
from farebox_processor.price_book import load_price_book

__all__ = ["load_rules"]


def load_rules(config: Config) -> Rules:
    """Load dialects, price book and plans as `config` names them.

    Raises PriceBookError or ConfigError that names file and line.
    """
    return Rules(
        dialects=load_dialects(config.dialects.paths, config.dimensions.extra),
        book=load_price_book(
            config.prices.overlays,
            config.prices.contracts,
            aliases=config.prices.aliases,
            trusted=config.prices.trusted_costs,
        ),
        plans=load_plans(config.plans.paths, config.dimensions.extra),
    )
