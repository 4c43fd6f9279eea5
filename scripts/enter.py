"""enter.py TREE USER NAME=VALUE... -- COMMAND...: what a container runtime does last, for scripts/image.

Into the tree, as a user that it does not know, without a capability to keep or to gain. Needs root.
"""

import ctypes
import os
import sys

_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 24, 38

tree, user, words = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
start = words.index("--")
environment = dict(word.split("=", 1) for word in words[:start])
command = words[start + 1 :]
libc = ctypes.CDLL(None)
os.chroot(tree)
os.chdir("/tmp")
for capability in range(64):
    libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
os.setgroups([])
os.setgid(user)
os.setuid(user)
libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
os.execvpe(command[0], command, environment)
