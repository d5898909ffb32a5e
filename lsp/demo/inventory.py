import json
from dataclasses import dataclass, field


@dataclass
class Item:
    name: str
    price: float
    quantity: int = 0


class Inventory:
    def __init__(self):
        self.items = {}

    def add(self, item):
        if item.name in self.items:
            self.items[item.name].quantity += item.quantity
        else:
            self.items[item.name] = item

    def remove(self, name):
        if name not in self.items:
            raise KeyError(name)
        del self.items[name]

    def total(self):
        total = 0
        for item in self.items.values():
            total += item.price * item.quantity
        return total

    def save(self, path):
        with open(path, "w") as f:
            json.dump(self.items, f)

    def __len__(self):
        return len(self.items)
