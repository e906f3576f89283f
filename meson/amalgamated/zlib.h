/* In place of zlib: the checksum alone, CRC-32 of ISO 3309 (polynomial 0xedb88320, reflected). */
typedef unsigned long uLong;
typedef unsigned char Bytef;

static uLong crc32_z(uLong sum, const Bytef *bytes, size_t n)
{
    static uint32_t table[256];
    static _Atomic bool known; /* threads that fill it at once write the same numbers */
    if (!known) {
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t c = i;
            for (int k = 0; k < 8; k++)
                c = (c >> 1) ^ (c & 1 ? 0xedb88320u : 0);
            table[i] = c;
        }
        known = true;
    }
    uint32_t c = (uint32_t)sum ^ 0xffffffffu;
    for (size_t i = 0; i < n; i++)
        c = table[(c ^ bytes[i]) & 0xff] ^ (c >> 8);
    return c ^ 0xffffffffu;
}
#define crc32 crc32_z
