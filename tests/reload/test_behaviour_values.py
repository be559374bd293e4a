"""Values of generations: classes made by libraries, types, pickles and copies; each generation's are its own."""

from __future__ import annotations

import copy
import copyreg
import dataclasses
import functools
import io
import multiprocessing.reduction
import pickle
import sys
import typing
from collections.abc import Callable
from typing import Any

import attrs
import msgspec

from .behaviour import BehaviourCase


class DataclassTests(BehaviourCase):
    SOURCE = """
        from __future__ import annotations
        from dataclasses import dataclass, field, fields, replace, asdict
        from typing import ClassVar
        @dataclass(order=True)
        class Line:
            count: int
            goods: list[Good] = field(default_factory=list)
            limit: ClassVar[int] = 5
            def more(self):
                return replace(self, count=self.count + 1)
        @dataclass(frozen=True, slots=True)
        class Good:
            name: str
        @dataclass
        class Dearer(Line):
            price: int = 0
        def make():
            return Line(1, [Good("tea")])
    """

    def test_they_work(self) -> None:
        """Fields, replace, order, ``asdict``, slots, inheritance; ``ClassVar`` written as text is told apart."""
        thing = self.load(self.SOURCE)
        line = thing.make()
        self.assertEqual([field.name for field in dataclasses.fields(line)], ["count", "goods"])
        self.assertEqual((line.more().count, dataclasses.asdict(line)), (2, {"count": 1, "goods": [{"name": "tea"}]}))
        self.assertLess(line, line.more())
        self.assertRaises(dataclasses.FrozenInstanceError, setattr, thing.Good("x"), "name", "y")
        self.assertEqual(thing.Dearer(1).price, 0)
        self.assertEqual(repr(thing.Good("x")), "Good(name='x')")
        del line, thing
        self.assertFreed()

    def test_two_generations_are_never_equal(self) -> None:
        """Equal values of equal classes of two generations differ: state crosses as plain data alone."""
        old, new = self.twice(self.SOURCE)
        self.assertEqual(old.make(), old.make())
        self.assertNotEqual(old.make(), new.make())
        self.assertNotIsInstance(old.make(), new.Line)
        self.assertRaises(TypeError, lambda: old.make() < new.make())


class AttrsTests(BehaviourCase):
    SOURCE = """
        from __future__ import annotations
        import attrs
        from shopx.kernel import Fact
        @attrs.define
        class Shop:
            name: str = attrs.field(validator=attrs.validators.instance_of(str))
            fact: Fact | None = None
            lines: list[Shop] = attrs.Factory(list)
            def own(self):
                return super().__eq__(self), __class__
            def _check(self, attribute, value):
                pass
        @attrs.frozen
        class Key:
            part: int
        def resolved():
            return attrs.fields(attrs.resolve_types(Shop))
    """

    def test_they_work(self) -> None:
        """Slots, evolve, validators, ``super()`` in a class that was made twice, hashing, types written as text."""
        thing = self.load(self.SOURCE)
        shop = thing.Shop("a")
        self.assertFalse(hasattr(shop, "__dict__"))
        self.assertEqual(attrs.evolve(shop, name="b").name, "b")
        self.assertRaises(TypeError, thing.Shop, 5)
        self.assertIs(shop.own()[1], thing.Shop)
        self.assertEqual(len({thing.Key(1), thing.Key(1)}), 1)
        self.assertIs(typing.get_args(thing.resolved().fact.type)[0], sys.modules["shopx.kernel.facts"].Fact)
        self.assertIs(typing.get_args(thing.resolved().lines.type)[0], thing.Shop)
        self.assertEqual(attrs.asdict(shop), {"name": "a", "fact": None, "lines": []})
        del shop, thing
        self.assertFreed()

    def test_two_generations_are_never_equal(self) -> None:
        """Nor do their frozen values meet as keys."""
        old, new = self.twice(self.SOURCE)
        self.assertNotEqual(old.Shop("a"), new.Shop("a"))
        self.assertEqual(len({old.Key(1), new.Key(1)}), 2)
        self.assertEqual(old.Key(1), attrs.evolve(old.Key(2), part=1))


class EnumTests(BehaviourCase):
    SOURCE = """
        import enum
        class Colour(enum.Enum):
            RED = enum.auto()
            BLUE = enum.auto()
            CRIMSON = RED
            @classmethod
            def first(cls):
                return cls.RED
        class Level(enum.IntEnum):
            LOW = 1
        class Mode(enum.Flag):
            READ = 1
            WRITE = 2
        def name(colour):
            match colour:
                case Colour.RED:
                    return "red"
                case _:
                    return "none of ours"
    """

    def test_they_work(self) -> None:
        """Members, aliases, look-ups, flags, ``match``, and copies, which are the member itself."""
        thing = self.load(self.SOURCE)
        self.assertIs(thing.Colour.CRIMSON, thing.Colour.RED)
        self.assertIs(thing.Colour["RED"], thing.Colour(1))
        self.assertEqual([member.name for member in thing.Colour], ["RED", "BLUE"])
        self.assertIn(thing.Mode.READ, thing.Mode.READ | thing.Mode.WRITE)
        self.assertIs(copy.deepcopy(thing.Colour.RED), thing.Colour.RED)
        self.assertEqual(thing.name(thing.Colour.first()), "red")
        del thing
        self.assertFreed()

    def test_two_generations_do_not_know_each_others_members(self) -> None:
        """Neither by identity nor by equality; members that are numbers are equal as numbers."""
        old, new = self.twice(self.SOURCE)
        self.assertNotEqual(old.Colour.RED, new.Colour.RED)
        self.assertEqual(new.name(old.Colour.RED), "none of ours")
        self.assertRaises(ValueError, new.Colour, old.Colour.RED)
        self.assertIs(new.Colour(old.Colour.RED.value), new.Colour.RED)
        self.assertEqual(old.Level.LOW, new.Level.LOW)


class TypeTests(BehaviourCase):
    SOURCE = """
        from __future__ import annotations
        import typing
        from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypedDict, TypeVar, runtime_checkable
        from shopx.kernel import Fact
        if TYPE_CHECKING:
            from shopx.nowhere import Absent
        T = TypeVar("T")
        class Sale:
            fact: Fact
            before: Sale | None
        class Box(Generic[T]):
            content: T
        class Pair(NamedTuple):
            left: Sale
        class Row(TypedDict):
            sale: Sale
        @runtime_checkable
        class Sells(Protocol):
            def sell(self) -> Sale: ...
        class Seller:
            def sell(self) -> Sale: ...
        def sell(sale: Sale, box: Box[Sale], absent: Absent = None) -> "dict[str, Sale]": ...
        def plain(sale: Sale) -> "dict[str, Sale]": ...
        def optional():
            return typing.Optional[Sale], typing.Union[Sale, Fact], Box[Sale]
    """

    def test_hints_are_the_generations_classes(self) -> None:
        """Annotations written as text are found in the generation's own module."""
        thing = self.load(self.SOURCE)
        fact = sys.modules["shopx.kernel.facts"].Fact
        self.assertEqual(typing.get_type_hints(thing.Sale), {"fact": fact, "before": thing.Sale | None})
        plain = typing.get_type_hints(thing.plain)
        self.assertEqual((plain["sale"], typing.get_args(plain["return"])), (thing.Sale, (str, thing.Sale)))
        self.assertEqual(typing.get_type_hints(thing.Pair)["left"], thing.Sale)
        self.assertEqual(typing.get_type_hints(thing.Row)["sale"], thing.Sale)
        self.assertIsInstance(thing.Seller(), thing.Sells)
        del fact, plain, thing
        self.assertFreed()

    def test_what_is_imported_for_checkers_alone(self) -> None:
        """As everywhere: not there at run time, and found when the caller gives it."""
        thing = self.load(self.SOURCE)
        self.assertRaises(NameError, typing.get_type_hints, thing.sell)
        self.assertIs(typing.get_type_hints(thing.sell, localns={"Absent": int})["absent"], int)

    def test_caches_do_not_mix_them_up(self) -> None:
        """``Optional`` and subscripted classes are remembered by typing: each generation gets its own, and goes."""
        old, new = self.twice(self.SOURCE)
        self.assertNotEqual(old.optional(), new.optional())
        self.assertIs(typing.get_args(new.optional()[0])[0], new.Sale)
        del old, new
        self.assertFreed()

    def test_msgspec(self) -> None:
        """Structs that name each other decode to the generation's own."""
        source = """
            from __future__ import annotations
            import msgspec
            class Order(msgspec.Struct):
                lines: list[Line]
            class Line(msgspec.Struct, frozen=True):
                good: str
            def read(data):
                return msgspec.json.decode(data, type=Order)
        """
        old, new = self.twice(source)
        data = msgspec.json.encode(old.Order([old.Line("tea")]))
        self.assertEqual(new.read(data), new.Order([new.Line("tea")]))
        self.assertNotEqual(old.read(data), new.read(data))
        del old, new
        self.assertFreed()


class PickleTests(BehaviourCase):
    SOURCE = """
        import enum, attrs, msgspec
        from dataclasses import dataclass
        from typing import NamedTuple
        class Plain:
            def __init__(self):
                self.inside = [1]
            class Inner:
                pass
        @dataclass
        class Line:
            count: int = 1
        @attrs.define
        class Shop:
            lines: list = attrs.Factory(list)
        class Colour(enum.Enum):
            RED = 1
        class Pair(NamedTuple):
            left: int = 1
        class Bad(Exception):
            pass
        class Row(msgspec.Struct):
            cells: list = []
        class Reduced:
            def __reduce__(self):
                return Reduced, ()
        def all():
            return [Plain(), Plain.Inner(), Line(), Shop([1]), Colour.RED, Pair(), Bad("x"), Row([1]), Reduced()]
    """

    def test_instances_are_refused(self) -> None:
        """By every pickler and protocol, in a container too; the words name the class and what to do instead."""
        thing = self.load(self.SOURCE)
        picklers: list[Callable[[object], object]] = [
            functools.partial(pickle.dumps, protocol=protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
        ]
        picklers.append(lambda found: pickle._Pickler(io.BytesIO()).dump(found))
        picklers.append(multiprocessing.reduction.ForkingPickler.dumps)
        for found in thing.all():
            for dump in picklers:
                error = self.assertRaises(pickle.PicklingError, dump, {"state": [found]})
                self.assertIn(f"shopx.thing.{type(found).__qualname__} ", str(error))
                self.assertIn("reload.Snapshot", str(error))

    def test_copies_are_made(self) -> None:
        """``copy`` and ``deepcopy`` give objects of the same generation."""
        thing = self.load(self.SOURCE)
        for found in thing.all():
            for copied in (copy.copy(found), copy.deepcopy([found])[0]):
                self.assertIs(type(copied), type(found))
        plain = thing.Plain()
        self.assertEqual(copy.deepcopy(plain).inside, [1])
        self.assertIsNot(copy.deepcopy(plain).inside, plain.inside)
        self.assertIs(copy.copy(plain).inside, plain.inside)

    def test_a_way_of_ones_own_is_kept(self) -> None:
        """A class that registered a function of its own with ``copyreg`` has asked for it."""
        source = """
            import copyreg
            class Own: pass
            copyreg.pickle(Own, lambda own: (int, ()))
        """
        self.assertEqual(pickle.loads(pickle.dumps(self.load(source).Own())), 0)

    def test_nothing_is_left(self) -> None:
        """A released generation is in no table, and the kernel's classes never were."""
        before = set(copyreg.dispatch_table)
        thing = self.load(self.SOURCE)
        kernel: Any = self.generations[0].load("shopx.kernel.facts")
        self.assertNotIn(kernel.Fact, copyreg.dispatch_table)
        self.assertIsInstance(pickle.loads(pickle.dumps(kernel.Fact())), kernel.Fact)
        del thing
        self.assertFreed()
        self.assertEqual(set(copyreg.dispatch_table), before)
