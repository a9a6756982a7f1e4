/*
 * Socket files: bound where only a stale one was, and open to those who may ask.
 *
 * Called at the start and, for the groups, after each change of the configuration.  The hard thing is two groups at one
 * file: users and admins need not be the same people, and a mode knows one group.  So the admins' stands in the file's
 * access list, which is what setfacl(1) writes, put together here: it is twenty-odd bytes, and a library for it would
 * be one more that root maps.
 */
#include "base/cleanup.h"
#include "control/server.h"
#include <endian.h>
#include <fcntl.h>
#include <linux/posix_acl_xattr.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/xattr.h>

#define LISTEN_BACKLOG 4096

/* linux/posix_acl.h, which is no header for programs. */
#define ACL_USER_OBJ   0x01
#define ACL_GROUP_OBJ  0x04
#define ACL_GROUP      0x08
#define ACL_MASK       0x10
#define ACL_OTHER      0x20
#define ACL_READ_WRITE 06

/* A socket file nobody listens at is a leftover; any other file refuses a connection alike, and is not ours to remove.
 */
static bool socket_is_stale(const struct sockaddr_un *address, int type) {
        _cleanup_(close_fdp) int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        struct stat st;

        return fd >= 0 && lstat(address->sun_path, &st) == 0 && S_ISSOCK(st.st_mode) &&
                connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 && errno == ECONNREFUSED;
}

/* Of the file itself: whose directory it lies in could have put a link to any other one in its place meanwhile. */
static int set_mode(const char *path, mode_t mode) {
        return fchmodat(AT_FDCWD, path, mode, AT_SYMLINK_NOFOLLOW);
}

static int listen_at(const char *path, int type, mode_t mode, gid_t group, int *ret_fd) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_(close_fdp) int fd = -EBADF;
        mode_t saved;
        int r;

        if (strlen(path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        memcpy(address.sun_path, path, strlen(path));
        fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        saved = umask(0777 & ~mode);
        r = bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
        if (r == -EADDRINUSE && socket_is_stale(&address, type) && unlink(path) == 0)
                r = bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
        (void)umask(saved);
        /* Before listen(2) nobody can connect: there is no moment in which the wrong ones could. */
        if (r == 0 && group != PEER_GID_NONE && (lchown(path, (uid_t)-1, group) < 0 || set_mode(path, mode) < 0))
                r = -errno;
        if (r < 0)
                return r;
        if (listen(fd, LISTEN_BACKLOG) < 0)
                return -errno;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int server_listen(const char *path, mode_t mode, gid_t group, int *ret_fd) {
        return listen_at(path, SOCK_SEQPACKET, mode, group, ret_fd);
}

int server_listen_stream(const char *path, mode_t mode, gid_t group, int *ret_fd) {
        return listen_at(path, SOCK_STREAM, mode, group, ret_fd);
}

/* As acl(5): in this order. */
static int set_access(const char *path, bool group_may, gid_t admin_group) {
        struct {
                struct posix_acl_xattr_header header;
                struct posix_acl_xattr_entry entries[5];
        } list = { .header.a_version = htole32(POSIX_ACL_XATTR_VERSION) };
        const struct {
                uint16_t tag, may;
                uint32_t id;
        } wanted[] = {
                { ACL_USER_OBJ, ACL_READ_WRITE, UINT32_MAX },
                { ACL_GROUP_OBJ, group_may ? ACL_READ_WRITE : 0, UINT32_MAX },
                { ACL_GROUP, ACL_READ_WRITE, admin_group },
                { ACL_MASK, ACL_READ_WRITE, UINT32_MAX },
                { ACL_OTHER, 0, UINT32_MAX },
        };

        for (size_t i = 0; i < ELEMENTSOF(wanted); i++)
                list.entries[i] = (struct posix_acl_xattr_entry){
                        .e_tag = htole16(wanted[i].tag), .e_perm = htole16(wanted[i].may), .e_id = htole32(wanted[i].id)
                };
        return lsetxattr(path, "system.posix_acl_access", &list, sizeof(list), 0) < 0 ? -errno : 0;
}

int server_admit_groups(const char *path, const PeerPolicy *policy) {
        bool has_group = policy->group != PEER_GID_NONE && policy->group != 0;
        bool has_admins = policy->admin_group != PEER_GID_NONE && policy->admin_group != 0;

        if (lchown(path, (uid_t)-1, has_group ? policy->group : 0) < 0)
                return -errno;
        if (lremovexattr(path, "system.posix_acl_access") < 0 && errno != ENODATA && errno != EOPNOTSUPP)
                return -errno;
        if (set_mode(path, has_group ? 0660 : 0600) < 0)
                return -errno;
        return has_admins ? set_access(path, has_group, policy->admin_group) : 0;
}
