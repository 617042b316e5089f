/* flush.h - new directories, made durable
 *
 * DURABILITY.md: a directory is there after a power cut only if the one that holds it was
 * flushed too. */
#ifndef CONF_FLUSH_H
#define CONF_FLUSH_H

/* flushes the directory that holds dirfd. 0, or -1 with errno. */
int flush_parent(int dirfd);
/* flushes a directory and the one that holds it. 0, or -1 with errno. */
int flush_new_dir(const char *path);

#endif
