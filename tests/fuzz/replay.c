/* replay.c - runs a fuzz harness over its corpus, file by file
 *
 * Linked with each fuzz_<module>.c for `make check`; `make fuzz` links libFuzzer instead.
 * Arguments are files or directories. Each file is one TAP test: a harness that returns is
 * good, one that dies ends the program and so fails. Every input is also given cut short
 * at each of its first bytes and at its half, as a torn read would be. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INPUT_MAX (16 * 1024 * 1024)
#define CUTS 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* gives the harness a copy that ends where the block ends, so that a sanitizer sees a
 * read beyond it */
static int give(const char *data, size_t size)
{
  uint8_t *copy = malloc(size ? size : 1);

  if (!copy)
    return -1;
  memcpy(copy, data, size);
  LLVMFuzzerTestOneInput(copy, size);
  free(copy);
  return 0;
}

static int play(const char *data, size_t size)
{
  for (size_t cut = 0; cut < size && cut < CUTS; cut++)
    if (give(data, cut) != 0)
      return -1;
  if (give(data, size / 2) != 0)
    return -1;
  return give(data, size);
}

/* reads a whole file into *data, to be freed; its size, or -1 with errno */
static ssize_t slurp(const char *path, char **data)
{
  struct stat st;
  ssize_t n = -1;
  int fd = open(path, O_RDONLY | O_CLOEXEC);

  *data = NULL;
  if (fd < 0)
    return -1;
  if (fstat(fd, &st) != 0)
    goto out;
  if (st.st_size > INPUT_MAX) {
    errno = EFBIG;
    goto out;
  }
  *data = malloc((size_t)st.st_size + 1);
  if (*data)
    n = read(fd, *data, (size_t)st.st_size);
out:
  close(fd);
  return n;
}

static int tests, failures;

static void replay_file(const char *path)
{
  const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
  char *data;
  ssize_t n = slurp(path, &data);

  tests++;
  if (n >= 0 && play(data, (size_t)n) == 0) {
    printf("ok %d - %s\n", tests, name);
  } else {
    failures++;
    printf("not ok %d - %s\n# %s\n", tests, name, strerror(errno));
  }
  fflush(stdout); /* what was done is known even when the next input kills us */
  free(data);
}

static void replay(const char *path)
{
  struct dirent **entry;
  char *file;
  int n = scandir(path, &entry, NULL, alphasort);

  if (n < 0) {
    replay_file(path);
    return;
  }
  for (int i = 0; i < n; i++) {
    if (entry[i]->d_name[0] != '.' && asprintf(&file, "%s/%s", path, entry[i]->d_name) >= 0) {
      replay_file(file);
      free(file);
    }
    free(entry[i]);
  }
  free(entry);
}

int main(int argc, char **argv)
{
  for (int i = 1; i < argc; i++)
    replay(argv[i]);
  printf("1..%d\n", tests);
  return failures || tests == 0;
}
