"""Stock of a small shop: items, prices, and what to order again."""

from dataclasses import dataclass, field
from decimal import Decimal


@dataclass
class Item:
    sku: str
    name: str
    price: Decimal
    quantity: int = 0
    tags: set[str] = field(default_factory=set)

    def value(self) -> Decimal:
        return self.price * self.quantity


class OutOfStock(Exception):
    def __init__(self, sku: str, wanted: int, available: int):
        super().__init__(f"{sku}: wanted {wanted}, only {available} available")
        self.sku = sku
        self.wanted = wanted
        self.available = available


class Inventory:
    def __init__(self) -> None:
        self.items: dict[str, Item] = {}
        self.reserved: dict[str, int] = {}

    def add(self, item: Item) -> None:
        if item.sku in self.items:
            self.items[item.sku].quantity += item.quantity
        else:
            self.items[item.sku] = item

    def available(self, sku: str) -> int:
        item = self.items.get(sku)
        if item is None:
            return 0
        return item.quantity - self.reserved.get(sku, 0)

    def reserve(self, sku: str, quantity: int) -> None:
        available = self.available(sku)
        if available < quantity:
            raise OutOfStock(sku, quantity, available)
        self.reserved[sku] = self.reserved.get(sku, 0) + quantity

    def release(self, sku: str, quantity: int) -> None:
        left = self.reserved.get(sku, 0) - quantity
        if left > 0:
            self.reserved[sku] = left
        else:
            self.reserved.pop(sku, None)

    def total_value(self) -> Decimal:
        return sum((item.value() for item in self.items.values()), Decimal(0))

    def to_order(self, minimum: int) -> list[Item]:
        low = []
        for sku, item in sorted(self.items.items()):
            if self.available(sku) < minimum:
                low.append(item)
        return low
