"""What a kernel's machine code does, read from nvdisasm's listing: its blocks, the shortest way round a loop, loads in flight, atomics."""
import heapq
import re
from dataclasses import dataclass, field

SECTION = re.compile(r"^\s*\.section\s+\.text\.([^,\s]+),")
LABEL = re.compile(r"^\s*(\.?[\w$.]+):\s*$")
INSTRUCTION = re.compile(r"^\s*/\*([0-9a-f]{4,})\*/\s+(?:@(!?U?P\w+)\s+)?([A-Z][\w.]*)\s*(.*?)\s*;\s*(?:/\*.*\*/)?\s*$")
TARGET = re.compile(r"`\(([^)]+)\)")
REGISTER = re.compile(r"(?<![\w.])R(\d+)")
ATOMIC = re.compile(r"^(ATOM|ATOMG|ATOMS|RED|REDG|REDS)(\.|$)")
WIDE_LOAD = re.compile(r"^LDG\.(\w+\.)*128(\.|$)")
STORE = re.compile(r"^ST[GSL]?(\.|$)|^RED(G|S)?(\.|$)")
MOST_STATES = 100_000


@dataclass
class Instruction:
    address: int
    guard: str | None
    opcode: str
    operands: str
    target: str | None  # of a jump

    def written(self) -> range:
        """The registers it writes, none where the first operand is no register."""
        if STORE.match(self.opcode):
            return range(0)
        first = re.match(r"R(\d+)", self.operands)
        if not first:
            return range(0)
        wide = 4 if ".128" in self.opcode else 2 if ".64" in self.opcode or ".WIDE" in self.opcode or re.match(r"D[A-Z]|F2F\.F64|I2F\.F64", self.opcode) else 1
        return range(int(first[1]), int(first[1]) + wide)

    def read(self) -> set[int]:
        """The registers it reads; of pairs and fours the first, which is even or a multiple of four."""
        operands = self.operands
        if not STORE.match(self.opcode):
            operands = re.sub(r"^R\d+", "", operands)
        return {int(number) for number in REGISTER.findall(operands)}


@dataclass
class Block:
    instructions: list[Instruction]
    following: list[int] = field(default_factory=list)


class Kernel:
    """The blocks of one function; edges are numbers of blocks."""

    def __init__(self, instructions: list[Instruction], labels: dict[str, int]):
        self.instructions = instructions
        starts = {instructions[0].address} if instructions else set()
        addresses = [instruction.address for instruction in instructions]
        for place, instruction in enumerate(instructions):
            if ends_block(instruction) and place + 1 < len(instructions):
                starts.add(addresses[place + 1])
            if instruction.target is not None and instruction.target in labels:
                starts.add(labels[instruction.target])
        ordered = sorted(starts & set(addresses))
        number = {address: block for block, address in enumerate(ordered)}
        self.blocks: list[Block] = []
        for block, address in enumerate(ordered):
            end = ordered[block + 1] if block + 1 < len(ordered) else None
            self.blocks.append(Block([i for i in instructions if i.address >= address and (end is None or i.address < end)]))
        meeting: dict[str, str] = {}  # where a barrier's threads go on, in the order of the listing
        for block, here in enumerate(self.blocks):
            for instruction in here.instructions:
                if instruction.opcode.startswith("BSSY") and instruction.target is not None:
                    meeting[instruction.operands.split(",")[0]] = instruction.target
            last = here.instructions[-1]
            targets = []
            if jumps(last) and last.target is not None:
                targets.append(last.target)
            if last.opcode.startswith("BRX"):
                targets += re.findall(r"\.L_x_\d+", last.operands)
            if last.opcode.startswith("BSYNC"):
                targets.append(meeting.get(last.operands.split(",")[0], ""))
            here.following = [number[labels[target]] for target in targets if labels.get(target) in number]
            if falls_through(last) and not (last.opcode.startswith("BSYNC") and here.following and last.guard is None) and block + 1 < len(self.blocks):
                here.following.append(block + 1)

    def having(self, opcode: str) -> list[int]:
        return [n for n, block in enumerate(self.blocks) if any(re.search(opcode, i.opcode) for i in block.instructions)]

    def loops(self) -> list[set[int]]:
        """The blocks of each natural loop; those with the same first block are one loop."""
        before: list[set[int]] = [set() for _ in self.blocks]
        for number, block in enumerate(self.blocks):
            for after in block.following:
                before[after].add(number)
        everything = set(range(len(self.blocks)))
        dominators = [{0} if number == 0 else set(everything) for number in everything]
        changed = True
        while changed:
            changed = False
            for number in range(1, len(self.blocks)):
                found = {number} | (set.intersection(*(dominators[b] for b in before[number])) if before[number] else set())
                changed |= found != dominators[number]
                dominators[number] = found
        bodies: dict[int, set[int]] = {}
        for number, block in enumerate(self.blocks):
            for head in set(block.following) & dominators[number]:
                body = bodies.setdefault(head, {head})
                waiting = [number]
                while waiting:
                    member = waiting.pop()
                    if member not in body:
                        body.add(member)
                        waiting.extend(before[member])
        return list(bodies.values())

    def distances(self, start: int, inside: set[int], last: set[int]) -> dict[int, int]:
        """Fewest instructions from the beginning of a block to that of others of `inside`; no way goes on from the blocks of `last`."""
        sizes = [len(block.instructions) for block in self.blocks]
        found: dict[int, int] = {}
        queue = [(sizes[start], block) for block in self.blocks[start].following]
        heapq.heapify(queue)
        while queue:
            length, block = heapq.heappop(queue)
            if block in found or block not in inside:
                continue
            found[block] = length
            if block not in last:
                for after in self.blocks[block].following:
                    heapq.heappush(queue, (length + sizes[block], after))
        return found

    def plain_path(self, store: str, through: str | None = None, stores: int = 1) -> int | None:
        """Fewest instructions in an innermost loop from the block of one store to that of the next, by way of one like `through`.

        `stores` are made each time. Of a loop that was unrolled, the longest part.
        """
        having, middles = set(self.having(store)), None if through is None else set(self.having(through))
        loops = [loop for loop in self.loops() if loop & having]
        longest = None
        for loop in loops:
            if any(other < loop for other in loops):
                continue
            for start in loop & having:
                ways = self.distances(start, loop, having)
                if middles is None or start in middles:
                    lengths = [ways[end] for end in having & set(ways)]
                else:
                    lengths = []
                    for middle in middles & set(ways):
                        back = {middle: 0} if middle in having else self.distances(middle, loop, having)
                        lengths += [ways[middle] + back[end] for end in having & set(back)]
                if lengths:
                    here = sum(1 for i in self.blocks[start].instructions if re.search(store, i.opcode))
                    longest = max(longest or 0, -(-min(lengths) * stores // max(here, stores)))
        return longest

    def loads_in_flight(self, opcode: re.Pattern = WIDE_LOAD) -> int:
        """The most loads that are under way at once on some way through the code: one ends where its registers are read or written again."""
        most = 0
        waiting = [(0, frozenset())] if self.blocks else []
        met = set(waiting)
        while waiting:
            number, under_way = waiting.pop()
            loads = dict(under_way)  # address: first register and how many
            for instruction in self.blocks[number].instructions:
                used = instruction.read() | set(instruction.written())
                loads = {address: registers for address, registers in loads.items() if not used & set(range(*registers))}
                if opcode.match(instruction.opcode):
                    written = instruction.written()
                    loads[instruction.address] = (written.start, written.stop)
                    most = max(most, len(loads))
            for after in self.blocks[number].following:
                state = (after, frozenset(loads.items()))
                if state not in met:
                    met.add(state)
                    waiting.append(state)
            if len(met) > MOST_STATES:
                raise ValueError(f"loads in flight: more than {MOST_STATES} states of {len(self.blocks)} blocks")
        return most

    def async_copies(self) -> int:
        """Copies to shared memory that pass the registers by, in one straight run of code: they are under way together."""
        return max((sum(1 for i in block.instructions if i.opcode.startswith("LDGSTS")) for block in self.blocks), default=0)

    def atomics(self) -> list[str]:
        return sorted({i.opcode for i in self.instructions if ATOMIC.match(i.opcode)})


def jumps(instruction: Instruction) -> bool:
    return re.match(r"(BRA|JMP)(\.|$)", instruction.opcode) is not None


def ends_block(instruction: Instruction) -> bool:
    return jumps(instruction) or re.match(r"(BRX|BSYNC|EXIT|RET|JMX|KILL|TRAP)(\.|$)", instruction.opcode) is not None


def falls_through(instruction: Instruction) -> bool:
    if jumps(instruction):
        # A condition stands before it (@P0 BRA) or among what it takes (BRA.DIV UR4, BRA P0).
        return instruction.guard is not None or re.match(r"\s*!?(U?P|U?R)\w+", instruction.operands) is not None or ".DIV" in instruction.opcode
    if re.match(r"(BRX|JMX|EXIT|RET|KILL|TRAP)(\.|$)", instruction.opcode):
        return instruction.guard is not None
    return True


def parse(listing: str) -> dict[str, Kernel]:
    """The kernels of a listing, by their mangled names."""
    sections: dict[str, tuple[list[Instruction], list[tuple[str, int]]]] = {}
    name = None
    for line in listing.splitlines():
        if match := SECTION.match(line):
            name = match[1]
            sections[name] = ([], [])
        elif re.match(r"^\s*\.section\s", line):
            name = None
        elif name is None:
            continue
        elif match := LABEL.match(line):
            sections[name][1].append((match[1], len(sections[name][0])))
        elif match := INSTRUCTION.match(line):
            target = TARGET.search(match[4])
            sections[name][0].append(Instruction(int(match[1], 16), match[2], match[3], match[4], target[1] if target else None))
    kernels = {}
    for name, (instructions, labels) in sections.items():
        places = {label: instructions[at].address for label, at in labels if at < len(instructions)}
        while instructions and instructions[-1].opcode == "NOP":  # filled up to a multiple of 128 bytes
            instructions.pop()
        if instructions:
            kernels[name] = Kernel(instructions, places)
    return kernels
