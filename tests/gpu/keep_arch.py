#!/usr/bin/env python3
"""Keeps one GPU architecture's machine code in a shared library and blanks the rest.

    keep_arch.py LIBRARY.so 90 OUT.so

What nvprune does for .o files, done to a linked library, so that it travels small. A library's
.nv_fatbin section is a row of containers: a header of 16 bytes (magic, version, header size, size
of what follows), then entries of a header (kind 1 PTX, 2 machine code; its own size; payload size;
architecture at byte 28) and a payload. The entries to keep move to the front of their container,
whose size is lowered; what is left over becomes zeros, so that no address changes and the file
compresses to what was kept. A container without a kept entry stays whole."""
import struct
import sys

MAGIC = 0xBA55ED50
MACHINE_CODE = 2


def find_section(elf, wanted):
    table, = struct.unpack_from("<Q", elf, 40)
    entry, count, names = struct.unpack_from("<HHH", elf, 58)
    sections = [struct.unpack_from("<IIQQQQ", elf, table + i * entry) for i in range(count)]
    strings = sections[names][4]
    for name, _, _, _, offset, size in sections:
        end = elf.index(b"\0", strings + name)
        if elf[strings + name:end] == wanted:
            return offset, size
    sys.exit(f"there is no section {wanted.decode()}")


def entries(elf, at, end):
    while at < end:
        kind, _, header, payload = struct.unpack_from("<HHIQ", elf, at)
        arch, = struct.unpack_from("<I", elf, at + 28)
        size = header + payload
        if header < 32 or at + size > end:
            sys.exit(f"the entry at byte {at} does not fit its container")
        yield kind, arch, elf[at:at + size]
        at += size


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    with open(sys.argv[1], "rb") as f:
        elf = bytearray(f.read())
    wanted = int(sys.argv[2])
    at, size = find_section(elf, b".nv_fatbin")
    end, before, after, containers, whole = at + size, 0, 0, 0, 0
    while at + 16 <= end:
        magic, _, header, length = struct.unpack_from("<IHHQ", elf, at)
        if magic != MAGIC:
            at += 8
            continue
        first, last = at + header, at + header + length
        kept = b"".join(bytes(e) for kind, arch, e in entries(elf, first, last)
                        if kind == MACHINE_CODE and arch == wanted)
        containers += 1
        before += length
        if kept:
            elf[first:last] = kept + bytes(length - len(kept))
            struct.pack_into("<Q", elf, at + 8, len(kept))
            after += len(kept)
        else:
            whole += 1
            after += length
        at = last + -last % 8
    if containers == 0:
        sys.exit("there is no container in .nv_fatbin")
    with open(sys.argv[3], "wb") as f:
        f.write(elf)
    print(f"{containers} containers: {before / 1e6:.1f} MB, kept {after / 1e6:.1f} MB of "
          f"sm_{wanted}; {whole} without it stay whole")


main()
