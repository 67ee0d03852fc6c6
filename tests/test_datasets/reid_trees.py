"""Fabricated re-identification data: every supported layout with three training and two test identities."""

from pathlib import Path

from data_trees import save_image

TRAIN, TEST, CAMERAS = (2, 5, 11), (7, 9), (1, 2, 3)
IMAGES = [(pid, camera) for pid in TRAIN for camera in CAMERAS]
MARKET = {
    'market1501': ('Market-1501-v15.09.15', 'bounding_box_train', 'query', 'bounding_box_test'),
    'dukemtmc': ('dukemtmcreid/DukeMTMC-reID', 'bounding_box_train', 'query', 'bounding_box_test'),
    'occluded_duke': ('dukemtmcreid/Occluded_Duke', 'bounding_box_train', 'query', 'bounding_box_test'),
    'scenes_reid': ('scenes_reid', 'bounding_box_train', 'query', 'bounding_box_test'),
    'veri': ('VeRi', 'image_train', 'image_query', 'image_test'),
}
DATASETS = (*MARKET, 'msmt17', 'vehicleid')


def entries(split: str) -> list[tuple[int, int, int]]:
    """(identity, camera from 1, number) of every image: two per identity and camera, in testing one of each role."""
    if split == 'train':
        return [(pid, camera, i) for pid in TRAIN for camera in CAMERAS for i in range(2)]
    own = [(pid, camera, int(split == 'gallery')) for pid in TEST for camera in CAMERAS]
    return own if split == 'query' else [*own, (0, 1, 0), (-1, 2, 0)]


def make_market(root: Path, train: str, query: str, gallery: str) -> None:
    for number, (split, folder) in enumerate(dict(train=train, query=query, gallery=gallery).items()):
        for pid, camera, i in entries(split):
            name = f'{pid:04d}_c{camera}s1_00000{i}_00.jpg'
            save_image(root / folder / name, seed=100 * camera + 10 * number + i + 1000 * pid + 5000, size=(6, 12))


def folder_of(dataset: str, root: Path) -> Path:
    """The folder of ``dataset`` below ``root``."""
    others = dict(msmt17='MSMT17', vehicleid='VehicleID_V1.0')
    return root / (MARKET[dataset][0] if dataset in MARKET else others[dataset])


def make_reid_tree(dataset: str, root: Path) -> None:
    """Lay out ``dataset`` below ``root`` as the real one is."""
    if dataset in MARKET:
        make_market(folder_of(dataset, root), *MARKET[dataset][1:])
    elif dataset == 'msmt17':
        _make_msmt17(folder_of(dataset, root))
    else:
        _make_vehicleid(folder_of(dataset, root))


def _make_msmt17(root: Path) -> None:
    """Identities of the training lists and of the test lists both count from 0."""
    lists = dict(train=[(0, 'train', 0), (1, 'train', 0)], val=[(1, 'train', 1)])
    lists |= dict(query=[(0, 'test', 0), (1, 'test', 0)], gallery=[(0, 'test', 1), (1, 'test', 1)])
    for name, rows in lists.items():
        lines = []
        for pid, folder, i in rows:
            path = f'{pid:04d}/{pid:04d}_00{i}_{i + 4:02d}_0303morning_0015_0.jpg'
            save_image(root / folder / path, seed=100 * pid + 10 * i + len(folder), size=(6, 12))
            lines.append(f'{path} {pid}')
        (root / f'list_{name}.txt').write_text('\n'.join(lines) + '\n')


def _make_vehicleid(root: Path) -> None:
    (root / 'train_test_split').mkdir(parents=True)
    for name, pids in (('train_list', TRAIN), ('test_list_800', TEST)):
        lines = []
        for pid in pids:
            for i in range(3):
                save_image(root / 'image' / f'{pid:04d}{i}.jpg', seed=10 * pid + i, size=(12, 12))
                lines.append(f'{pid:04d}{i} {pid}')
        (root / 'train_test_split' / f'{name}.txt').write_text('\n'.join(lines) + '\n')


def make_table(root: Path) -> None:
    """``images.csv`` with named identities, cameras and views."""
    lines = ['path,id,camera,view,split']
    for split, ids in (('train', ('ann', 'bob')), ('query', ('cat',)), ('gallery', ('cat', 'dan'))):
        for name in ids:
            for camera in ('north', 'south'):
                path = f'{split}/{name}_{camera}.png'
                save_image(root / 'images' / path, seed=sum(map(ord, path)), size=(6, 12))
                lines.append(f'images/{path},{name},{camera},{"rear" if camera == "south" else "front"},{split}')
    (root / 'images.csv').write_text('\n'.join(lines) + '\n')
