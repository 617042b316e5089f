/* census.c - how many sessions all processes of heloise-smtpd have
 *
 * Runs in heloise-smtpd and `heloise run`. A process that was taken over could write what it
 * likes here: then others take fewer sessions than they may, or more. */
#include "smtpd/census.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define SLOTS 64
#define ABSENT UINT32_MAX /* nobody has this slot */
#define HEAVIER 3

static uint32_t alone[SLOTS]; /* until there is a page to share */
static uint32_t *sessions = alone;
static unsigned int own, first, count = 1;

int census_make(void)
{
  int fd = memfd_create("census", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  uint32_t nobody[SLOTS];

  if (fd < 0)
    return -1;
  for (size_t i = 0; i < SLOTS; i++)
    nobody[i] = ABSENT;
  if (write(fd, nobody, sizeof nobody) == (ssize_t)sizeof nobody &&
      fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
    return fd;
  close(fd);
  return -1;
}

void census_forget(int fd, unsigned int slot)
{
  const uint32_t none = ABSENT;
  ssize_t ignored = pwrite(fd, &none, sizeof none, (off_t)(slot * sizeof none));

  (void)ignored; /* memory: it cannot be full */
}

int census_join(const char *name, int fd)
{
  void *page;

  if (sscanf(name, "census.%u.%u.%u", &own, &first, &count) != 3 || own >= SLOTS ||
      first >= SLOTS || count > SLOTS - first) {
    close(fd);
    errno = EINVAL;
    return -1;
  }
  page = mmap(NULL, sizeof alone, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (page == MAP_FAILED)
    return -1;
  sessions = page;
  census_tell(0);
  return 0;
}

void census_tell(size_t n)
{
  __atomic_store_n(&sessions[own], (uint32_t)n, __ATOMIC_RELAXED);
}

static uint32_t of(unsigned int slot)
{
  return __atomic_load_n(&sessions[slot], __ATOMIC_RELAXED);
}

size_t census_total(void)
{
  size_t n = 0;

  for (unsigned int i = 0; i < SLOTS; i++)
    n += of(i) == ABSENT ? 0 : of(i);
  return n;
}

int census_is_heavy(void)
{
  uint32_t mine = of(own);

  for (unsigned int i = first; i < first + count; i++)
    if (of(i) != ABSENT && mine > of(i) && mine - of(i) > HEAVIER)
      return 1;
  return 0;
}

int census_has_others(void)
{
  for (unsigned int i = 0; i < SLOTS; i++)
    if ((i < first || i >= first + count) && sessions != alone && of(i) != ABSENT)
      return 1;
  return 0;
}
