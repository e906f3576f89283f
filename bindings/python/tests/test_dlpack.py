"""Arrays of NumPy and tensors of Ito on one memory."""
import gc
import re
import threading
import weakref

import ito
import pytest

np = pytest.importorskip("numpy", "2.1")

DTYPES = {"f32": np.float32, "f64": np.float64, "f16": np.float16, "i32": np.int32, "i64": np.int64,
          "u8": np.uint8, "bool": np.bool_}


def refused(message, code):
    """The whole sentence."""
    return pytest.raises(ito.Error, match="^" + re.escape(message) + "$")


@pytest.mark.parametrize("name", DTYPES)
def test_memory_is_shared_both_ways(name):
    array = np.array([[0, 1, 1], [1, 0, 1]], DTYPES[name])
    t = ito.from_dlpack(array)
    assert t.shape == (2, 3) and t.dtype == ito.dtype[name]
    array[0, 0] = 1
    assert t[0, 0].item() == 1
    back = t.numpy()
    assert back.dtype == array.dtype
    back[1, 1] = 1
    assert array[1, 1] == 1
    assert back.ctypes.data == array.ctypes.data == ito.lib.ito_const_data(t)


@pytest.mark.parametrize("view", [
    lambda a: a.T, lambda a: a[1:, ::2], lambda a: a[:, 1], lambda a: a[None, :, None], lambda a: a[2:2],
    lambda a: a[1, 2], lambda a: np.moveaxis(a.reshape(1, 2, 2, 6), 3, 1)])
def test_views_of_arrays(view):
    array = view(np.arange(24.0).reshape(4, 6)) if not np.isscalar(view(np.arange(24.0).reshape(4, 6))) else \
        np.array(8.0)
    t = ito.from_dlpack(array)
    assert t.shape == array.shape
    np.testing.assert_array_equal((t * 2).numpy(), array * 2)
    np.testing.assert_array_equal(t.numpy(), array)


def test_channels_last_goes_out_with_its_strides():
    x = ito.conv2d(ito.ones((2, 3, 8, 8)), ito.ones((5, 3, 3, 3)), None, padding=1)
    assert x.numpy().strides == tuple(4 * s for s in (5 * 64, 1, 5 * 8, 5))


def test_an_array_lives_as_long_as_its_tensor():
    class Watched(np.ndarray):
        pass

    array = np.zeros(3, np.float32).view(Watched)
    gone = weakref.ref(array)
    t = ito.from_dlpack(array)
    view = t[1:]
    del array, t
    gc.collect()
    assert gone() is not None
    del view
    gc.collect()
    assert gone() is None


def test_a_tensor_lives_as_long_as_its_array():
    before = ito.memory_blocks()
    t = ito.ones((1000,))
    array = t.numpy()[10:20]
    del t
    assert ito.memory_blocks() == before + 1 and array.sum() == 10
    del array
    gc.collect()
    assert ito.memory_blocks() == before


@pytest.mark.parametrize("version", [None, (0, 8), (1, 0), (1, 2)])
def test_a_capsule_that_nobody_takes_lets_go(version):
    before = ito.memory_blocks()
    t = ito.ones((4,))
    capsule = t.__dlpack__(max_version=version)
    assert ("dltensor_versioned" in repr(capsule)) == (version is not None and version[0] >= 1)
    del t
    assert ito.memory_blocks() == before + 1
    del capsule
    assert ito.memory_blocks() == before


def test_the_last_reference_may_go_in_another_thread():
    held = [ito.from_dlpack(np.ones(3)) for _ in range(10)]
    thread = threading.Thread(target=held.clear)
    thread.start()
    thread.join()
    assert not held


class _Old:
    """What has DLPack's protocol of before 1.0."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, stream=None):
        return self.array.__dlpack__()

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def test_the_protocol_of_before_is_spoken():
    array = np.arange(3.0)
    t = ito.from_dlpack(_Old(array))
    array[1] = 5
    assert t.tolist() == [0, 5, 2]


def test_arrays_and_numbers_of_numpy_beside_tensors():
    x = ito.tensor([1.0, 2.0])
    array = np.array([10, 20], np.float32)
    for made in (array + x, x + array):
        assert isinstance(made, ito.Tensor) and made.tolist() == [11, 22]
    assert (x * np.float32(2)).tolist() == (np.float32(2) * x).tolist() == [2, 4]
    assert x[np.int64(1)].item() == 2 and x[np.array([1, 0])].tolist() == [2, 1]


def test_copies_are_made_where_asked_for():
    t = ito.ones((2,))
    array = np.from_dlpack(t, copy=True)
    array[0] = 3
    assert t[0].item() == 1
    assert np.array(t, dtype=np.float64).dtype == np.float64


def test_read_only_memory_is_refused_and_copied():
    array = np.arange(3.0)
    array.flags.writeable = False
    with refused("from_dlpack: the memory is read-only, and a tensor of Ito can be changed in place: copy it first",
                 "ITO_ERR_ARGUMENT"):
        ito.from_dlpack(array)
    t = ito.tensor(array)
    t[0] = 7
    assert array[0] == 0 and t[0].item() == 7


def test_negative_strides_are_refused_and_copied():
    array = np.arange(3.0)[::-1]
    with refused("from_dlpack: axis 0 has the stride -1, and Ito takes none below 0: copy it first",
                 "ITO_ERR_ARGUMENT"):
        ito.from_dlpack(array)
    assert ito.tensor(array).tolist() == [2, 1, 0]


@pytest.mark.parametrize("dtype,name", [("int8", "i8"), ("uint16", "u16"), ("uint64", "u64"),
                                        ("complex64", "complex64")])
def test_other_dtypes_are_named(dtype, name):
    with refused(f"from_dlpack: a tensor of {name}; Ito takes f32, f64, bf16, f16, i32, i64, u8 and bool, so convert "
                 "it first", "ITO_ERR_DTYPE"):
        ito.from_dlpack(np.zeros(2, dtype))


def test_elements_out_of_step_are_refused():
    array = np.frombuffer(bytearray(13), np.float32, 3, 1)
    with refused("from_dlpack: elements of 4 bytes begin 1 bytes after a multiple of that: copy it first",
                 "ITO_ERR_ARGUMENT"):
        ito.from_dlpack(array)


def test_a_refused_array_stays_whole():
    array = np.arange(3.0)[::-1]
    for _ in range(3):
        with pytest.raises(ito.Error):
            ito.from_dlpack(array)
    gc.collect()
    assert array.tolist() == [2, 1, 0]


def test_what_requires_a_gradient_keeps_its_history():
    t = ito.ones((2,)).requires_grad_()
    with pytest.raises(BufferError, match="requires a gradient stays behind: detach"):
        t.numpy()
    assert t.detach().numpy().tolist() == [1, 1]


def test_bf16_has_no_numpy():
    with refused("numpy: NumPy has no bf16: cast it to f32 first", "ITO_ERR_DTYPE"):
        ito.ones((2,), "bf16").numpy()
