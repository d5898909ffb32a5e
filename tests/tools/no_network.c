/* no_network.c - runs a program under a kernel filter that kills it at the first call that could
 * reach a network: no_network [--listen | --alone] PROGRAM ARGUMENT...
 *
 * Only sockets of the machine itself (AF_UNIX) can be made. With --listen those of IPv4, too, which
 * may be bound and listened on, but nothing can be connected or sent to an address. io_uring, which
 * could do the same without these calls, is not there. With --alone it is killed, too, where it makes
 * another process; threads it may make. The filter holds for all threads and children, and
 * nothing takes it off. Exit code 77: this kernel or machine has no such filters. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SKIPPED 77
#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#define ARCH 0
#endif
#define X32 0x40000000u /* the bit of x86-64's second set of calls */

#define LOAD(member) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, member))
/* The next instruction where it is so, else the one behind that. */
#define IF(value) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, 1)
#define UNLESS(value) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 1, 0)
#define IF_AT_LEAST(value) BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (value), 0, 1)
#define IF_BITS(value) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (value), 0, 1)
#define DO(action) BPF_STMT(BPF_RET | BPF_K, (action))
#define KILL DO(SECCOMP_RET_KILL_PROCESS)
#define ALLOW DO(SECCOMP_RET_ALLOW)

/* Arguments' lower halves come first on the machines above. */
static int add(struct sock_filter *program, unsigned short n) {
  struct sock_fprog all = {n, program};
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &all, 0, 0);
}

/* clone3 has its flags in memory, where a filter cannot look: the C library then takes clone. */
static int filter_processes(void) {
  struct sock_filter program[] = {
      LOAD(nr),
#ifdef SYS_fork
      IF(SYS_fork),       KILL,
      IF(SYS_vfork),      KILL,
#endif
      IF(SYS_clone3),     DO(SECCOMP_RET_ERRNO | ENOSYS),
      UNLESS(SYS_clone),  ALLOW,
      LOAD(args[0]),      IF_BITS(CLONE_THREAD), ALLOW,
      KILL,
  };
  return add(program, sizeof program / sizeof *program);
}

static int filter_network(bool listen) {
  struct sock_filter program[] = {
      LOAD(arch),         UNLESS(ARCH), KILL,
      LOAD(nr),           IF_AT_LEAST(X32), KILL,
      IF(SYS_io_uring_setup), DO(SECCOMP_RET_ERRNO | ENOSYS),
      IF(SYS_connect),    DO(listen ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ALLOW),
      IF(SYS_sendto),     DO(listen ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ALLOW),
      IF(SYS_sendmsg),    DO(listen ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ALLOW),
      IF(SYS_sendmmsg),   DO(listen ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ALLOW),
      UNLESS(SYS_socket), ALLOW,
      LOAD(args[0]),      IF(AF_UNIX), ALLOW,
      IF(AF_INET),        DO(listen ? SECCOMP_RET_ALLOW : SECCOMP_RET_KILL_PROCESS),
      KILL,
  };
  return add(program, sizeof program / sizeof *program);
}

int main(int argc, char **argv) {
  bool listen = argc > 1 && strcmp(argv[1], "--listen") == 0;
  bool alone = argc > 1 && strcmp(argv[1], "--alone") == 0;
  char **words = argv + 1 + (listen || alone);
  if (*words == NULL) return 2;
  if (ARCH == 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || filter_network(listen) != 0 ||
      (alone && filter_processes() != 0)) {
    fprintf(stderr, "no_network: %s\n", ARCH == 0 ? "not for this machine" : strerror(errno));
    return SKIPPED;
  }
  execv(*words, words);
  fprintf(stderr, "no_network: %s: %s\n", *words, strerror(errno));
  return 127;
}
